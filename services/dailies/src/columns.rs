//! Text in terminal columns: how wide it is, how it is cut, padded and wrapped. Pure.
//!
//! Widths err on the wide side: where terminals differ (joined emoji, rare scripts), a line comes out short rather than
//! running over its edge.

/// Makes text from outside harmless to a terminal: no escape sequences, no controls, no reversed reading order.
pub fn clean(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => None,
            c if c.is_control() => None,
            c => Some(c),
        })
        .collect()
}

/// Columns that `text` takes.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// At most `columns` of `text`, with `…` where something is left out.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (kept, _) = split(text, columns.saturating_sub(1));
    if columns == 0 { String::new() } else { format!("{}…", kept.trim_end()) }
}

/// `text` filled up with spaces to `columns`; what is longer stays as it is.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// `text` in lines of at most `columns`, broken at spaces; what has no space in time is broken where it must be.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let gap = usize::from(!line.is_empty());
        if width(&line) + gap + width(word) <= columns {
            line.push_str(&" ".repeat(gap));
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        let mut rest = word;
        while width(rest) > columns {
            let (head, tail) = split(rest, columns);
            lines.push(head.to_owned());
            rest = tail;
        }
        line.push_str(rest);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Where the first `columns` end.
fn split(text: &str, columns: usize) -> (&str, &str) {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += char_width(c);
        if taken > columns {
            return text.split_at(at);
        }
    }
    (text, "")
}

fn char_width(c: char) -> usize {
    match u32::from(c) {
        // Makes the sign before it an emoji, which is two wide.
        0xfe0f => 1,
        code if c.is_control() || within(&NO_WIDTH, code) => 0,
        code if within(&DOUBLE_WIDTH, code) => 2,
        _ => 1,
    }
}

fn within(ranges: &[(u32, u32)], code: u32) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= code);
    after.checked_sub(1).is_some_and(|i| code <= ranges[i].1)
}

/// Marks that stand on the letter before them, and signs without a picture; the blocks of Unicode that hold nothing else.
const NO_WIDTH: [(u32, u32); 12] = [
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x0591, 0x05bd),
    (0x064b, 0x065f),
    (0x0e34, 0x0e3a),
    (0x0e47, 0x0e4e),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200f),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0e),
    (0xe0100, 0xe01ef),
];

/// East Asian wide blocks and the emoji that are wide by themselves.
const DOUBLE_WIDTH: [(u32, u32); 38] = [
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x23e9, 0x23f3),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x267f, 0x267f),
    (0x2693, 0x2693),
    (0x26a1, 0x26a1),
    (0x26aa, 0x26ab),
    (0x26bd, 0x26be),
    (0x26c4, 0x26c5),
    (0x26ce, 0x26ce),
    (0x26d4, 0x26d4),
    (0x26ea, 0x26ea),
    (0x26f2, 0x26fd),
    (0x2705, 0x2705),
    (0x270a, 0x270b),
    (0x2728, 0x2728),
    (0x274c, 0x274e),
    (0x2753, 0x2757),
    (0x2795, 0x2797),
    (0x27b0, 0x27bf),
    (0x2b1b, 0x2b1c),
    (0x2b50, 0x2b55),
    (0x2e80, 0x303e),
    (0x3041, 0xa4cf),
    (0xa960, 0xa97f),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0xffe0, 0xffe6),
    (0x17000, 0x18cff),
    (0x1f004, 0x1f0cf),
    (0x1f18e, 0x1f19a),
    (0x1f200, 0x1faff),
    (0x20000, 0x3fffd),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_letters_and_emoji_take_two_columns() {
        for (text, columns) in [
            ("watch", 5),
            ("機械式時計", 10),
            ("한국어", 6),
            ("⌚️", 3),
            ("🎬", 2),
            ("❤️", 2),
            ("e\u{301}", 1),
            ("🇩🇪", 2),
            ("", 0),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn tables_of_widths_are_in_order() {
        for table in [&NO_WIDTH[..], &DOUBLE_WIDTH[..]] {
            assert!(table.iter().all(|(first, last)| first <= last));
            assert!(table.windows(2).all(|pair| pair[0].1 < pair[1].0), "{table:x?}");
        }
    }

    #[test]
    fn wrapped_lines_never_run_over() {
        let text = "機械式時計の広告、優雅で金と黒 with a verylongwordwithoutanyspaceinit and 🎬🎬🎬🎬🎬🎬 emoji";
        for columns in 2..40 {
            let lines = wrap(text, columns);
            assert!(lines.iter().all(|line| width(line) <= columns), "{columns}: {lines:?}");
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text), "nothing is lost at {columns}");
        }
    }

    #[test]
    fn what_is_cut_says_so_and_fits() {
        assert_eq!(cut("short", 10), "short");
        assert_eq!(cut("a mechanical watch", 8), "a mecha…");
        for columns in 0..12 {
            assert!(width(&cut("時計時計時計", columns)) <= columns, "{columns}");
        }
        assert_eq!(width(&pad("時計", 8)), 8);
    }

    #[test]
    fn text_from_outside_cannot_drive_the_terminal() {
        assert_eq!(clean("gold\x1b[2J\u{7}\nblack\u{202e}x"), "gold[2J blackx");
    }
}
