//! Where text for a person goes: a terminal with colours and live lines, or a pipe with plain ones.
//!
//! Invariant: live lines and an open question are always at the bottom; whatever else is printed goes above them. Output
//! that nobody takes any more (a closed pipe) is dropped, because the film goes on without its reader.

use std::io::{IsTerminal as _, Write};

use messages::spec::Color;

use crate::columns;

/// The person's view of what happens.
pub struct Screen {
    out: Box<dyn Write + Send>,
    terminal: bool,
    /// How to colour what is printed here.
    pub paint: Paint,
    /// Columns of each live line as drawn.
    live: Vec<usize>,
    asking: bool,
}

impl Screen {
    /// Standard output as it is.
    pub fn stdout() -> Self {
        let terminal = std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let paint = if terminal { Paint::detect() } else { Paint::plain() };
        Self { out: Box::new(std::io::stdout()), terminal, paint, live: Vec::new(), asking: false }
    }

    #[cfg(test)]
    fn into_writer(out: Box<dyn Write + Send>, terminal: bool) -> Self {
        Self { out, terminal, paint: Paint::plain(), live: Vec::new(), asking: false }
    }

    /// Whether lines can be drawn again.
    pub const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns for text, one less than there are, so that no terminal wraps. A pipe has 100.
    pub fn width(&self) -> usize {
        if self.terminal { size().0.saturating_sub(1).clamp(10, 120) } else { 100 }
    }

    /// Prints lines above whatever is live.
    pub fn print(&mut self, text: &str) {
        let mut bytes = self.erase();
        if std::mem::take(&mut self.asking) {
            bytes.push('\n');
        }
        bytes.push_str(text);
        if !text.ends_with('\n') {
            bytes.push('\n');
        }
        self.write(&bytes);
    }

    /// Draws the live lines anew; a pipe has none.
    pub fn live(&mut self, lines: &[String]) {
        if !self.terminal || self.asking {
            return;
        }
        let mut bytes = self.erase();
        let (width, height) = size();
        for line in lines.iter().take(height.saturating_sub(1).max(1)) {
            let line = columns::cut(line, width.saturating_sub(1));
            self.live.push(columns::width(&line));
            bytes.push_str(&line);
            bytes.push('\n');
        }
        self.write(&bytes);
    }

    /// Puts a question that stays open until [`Screen::answered`] or the next print.
    pub fn ask(&mut self, question: &str) {
        let bytes = self.erase() + question;
        self.write(&bytes);
        self.asking = true;
    }

    /// Whether a question is open.
    pub const fn is_asking(&self) -> bool {
        self.asking
    }

    /// The person pressed Enter: the cursor is on a new line already.
    pub const fn answered(&mut self) {
        self.asking = false;
    }

    fn erase(&mut self) -> String {
        let width = size().0.max(1);
        // A window made narrower has wrapped what was drawn.
        let rows: usize = self.live.drain(..).map(|columns| columns.max(1).div_ceil(width)).sum();
        if rows == 0 { String::new() } else { format!("\x1b[{rows}A\r\x1b[J") }
    }

    fn write(&mut self, text: &str) {
        // A closed pipe has no reader to tell.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    window().or_else(|| Some((std::env::var("COLUMNS").ok()?.parse().ok()?, 24))).unwrap_or((80, 24))
}

mod ioctl {
    nix::ioctl_read_bad!(window_size, nix::libc::TIOCGWINSZ, nix::libc::winsize);
}

#[expect(unsafe_code, reason = "the size of a terminal is asked by an ioctl, which fills a struct of ours")]
fn window() -> Option<(usize, usize)> {
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes one `winsize` into the one that it is given.
    unsafe { ioctl::window_size(nix::libc::STDOUT_FILENO, &raw mut size) }.ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// Columns of a block of colour.
pub const SWATCH: usize = 3;

/// How text is coloured. Paint last: painted text has no measurable width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    depth: Depth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    None,
    Palette,
    True,
}

impl Paint {
    /// No colours.
    pub const fn plain() -> Self {
        Self { depth: Depth::None }
    }

    /// What the terminal says that it can, unless `NO_COLOR` is set.
    fn detect() -> Self {
        let set = |name| std::env::var(name).is_ok_and(|value: String| !value.is_empty());
        let deep = std::env::var("COLORTERM").is_ok_and(|value| value.contains("truecolor") || value.contains("24bit"));
        let depth = match (set("NO_COLOR"), deep) {
            (true, _) => Depth::None,
            (false, true) => Depth::True,
            (false, false) => Depth::Palette,
        };
        Self { depth }
    }

    /// For headings.
    pub fn bold(self, text: &str) -> String {
        self.style("1", text)
    }

    /// For what is there when looked for.
    pub fn dim(self, text: &str) -> String {
        self.style("2", text)
    }

    /// For what went well.
    pub fn good(self, text: &str) -> String {
        self.style("32", text)
    }

    /// For what needs attention.
    pub fn warn(self, text: &str) -> String {
        self.style("33", text)
    }

    /// For what failed.
    pub fn bad(self, text: &str) -> String {
        self.style("31", text)
    }

    /// Whether [`Paint::swatch`] draws anything.
    pub fn has_swatches(self) -> bool {
        self.depth != Depth::None
    }

    /// A block of a colour, [`SWATCH`] columns wide; nothing without colours.
    pub fn swatch(self, color: Color) -> String {
        let Color { r, g, b } = color;
        match self.depth {
            Depth::None => String::new(),
            Depth::True => self.style(&format!("48;2;{r};{g};{b}"), "   "),
            Depth::Palette => {
                // The 6x6x6 cube of the 256-colour palette; its steps are not even.
                let level = |channel: u8| [48, 115, 155, 195, 235].iter().filter(|step| channel >= **step).count();
                self.style(&format!("48;5;{}", 16 + 36 * level(r) + 6 * level(g) + level(b)), "   ")
            }
        }
    }

    fn style(self, code: &str, text: &str) -> String {
        if self.depth == Depth::None { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one writer").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("one writer").clone()).expect("UTF-8")
        }
    }

    #[test]
    fn a_pipe_gets_plain_lines_only() {
        let paper = Paper::default();
        let mut screen = Screen::into_writer(Box::new(paper.clone()), false);
        screen.live(&["storyboard 1 of 3".into()]);
        screen.print("storyboard: beat_0 done");
        screen.live(&["storyboard 2 of 3".into()]);
        assert_eq!(paper.text(), "storyboard: beat_0 done\n");
    }

    #[test]
    fn live_lines_are_replaced_and_stay_at_the_bottom() {
        let paper = Paper::default();
        let mut screen = Screen::into_writer(Box::new(paper.clone()), true);
        screen.live(&["one".into(), "two".into()]);
        screen.print("above");
        screen.live(&["three".into()]);
        assert_eq!(paper.text(), "one\ntwo\n\x1b[2A\r\x1b[Jabove\nthree\n");
    }

    #[test]
    fn news_during_a_question_starts_on_a_line_of_its_own() {
        let paper = Paper::default();
        let mut screen = Screen::into_writer(Box::new(paper.clone()), true);
        screen.ask("approve or quit? ");
        screen.live(&["not drawn over the question".into()]);
        screen.print("approved by local over nats");
        assert_eq!(paper.text(), "approve or quit? \napproved by local over nats\n");
    }

    #[test]
    fn without_colours_a_swatch_takes_no_place() {
        let gold = Color { r: 212, g: 175, b: 55 };
        assert_eq!(Paint::plain().swatch(gold), "");
        assert_eq!(Paint { depth: Depth::True }.swatch(gold), "\x1b[48;2;212;175;55m   \x1b[0m");
        assert_eq!(Paint { depth: Depth::Palette }.swatch(gold), "\x1b[48;5;179m   \x1b[0m");
    }
}
