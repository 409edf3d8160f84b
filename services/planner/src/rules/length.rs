//! How long the film shall be: the request says, else the prompt does, else 30 seconds; reviewers' notes move what the
//! request left open.

use messages::planner::PlanSpec;
use messages::spec::{DEFAULT_DURATION_S, MAX_DURATION_S, MIN_DURATION_S, rounded_duration};

use super::lexicon::{Hit, Lexicon};
use super::text::Text;

/// A length and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// Seconds, inside the limits.
    pub seconds: u32,
    /// One sentence for the reviewer.
    pub why: String,
    /// What could not be done as asked.
    pub warning: Option<String>,
}

/// Decides the length. Pure and the same for every language model: the handler checks replies against it.
pub fn requested(plan: &PlanSpec, lexicon: &Lexicon) -> Requested {
    let notes: Vec<_> = plan.notes.iter().map(|note| Text::read(note)).collect();
    let wishes: Vec<_> = notes.iter().filter_map(|note| wish(note, lexicon)).collect();
    if let Some(seconds) = plan.duration {
        let fixed = clamped(u64::from(seconds), format!("The film lasts {seconds} s because the request says so."));
        // The request's figure binds whoever checks the plan; a note cannot move it.
        let warning = (!wishes.is_empty())
            .then(|| format!("a note asks for another length, but the request fixes it at {seconds} s"));
        return Requested { warning: fixed.warning.or(warning), ..fixed };
    }
    let said = said_in(&Text::read(&plan.prompt), lexicon)
        .or_else(|| plan.description.as_deref().and_then(|text| said_in(&Text::read(text), lexicon)))
        .or_else(|| plan.title.as_deref().and_then(|text| said_in(&Text::read(text), lexicon)));
    let first = match said {
        Some(seconds) => clamped(seconds, format!("The film lasts {seconds} s because the prompt says so.")),
        None => clamped(
            u64::from(DEFAULT_DURATION_S),
            format!("The film lasts {DEFAULT_DURATION_S} s because nobody asked for another length."),
        ),
    };
    wishes.into_iter().fold(first, |before, wish| {
        let (seconds, why) = match wish {
            Wish::Exactly(seconds) => (seconds, format!("A note asks for {seconds} s.")),
            Wish::Shorter => {
                (u64::from(step(before.seconds * 2 / 3)), format!("A note asks for less than {} s.", before.seconds))
            }
            Wish::Longer => (
                u64::from(step(before.seconds * 3 / 2 + 2)),
                format!("A note asks for more than {} s.", before.seconds),
            ),
        };
        clamped(seconds, why)
    })
}

enum Wish {
    Exactly(u64),
    Shorter,
    Longer,
}

fn wish(note: &Text, lexicon: &Lexicon) -> Option<Wish> {
    if let Some(candidate) = candidates(note, lexicon).last() {
        return Some(Wish::Exactly(candidate.seconds));
    }
    match lexicon.notes.hits(note).last()?.concept.id.as_str() {
        "shorter" => Some(Wish::Shorter),
        "longer" => Some(Wish::Longer),
        _ => None,
    }
}

fn step(seconds: u32) -> u32 {
    rounded_duration(seconds).max(MIN_DURATION_S)
}

fn clamped(seconds: u64, why: String) -> Requested {
    let inside = seconds.clamp(u64::from(MIN_DURATION_S), u64::from(MAX_DURATION_S));
    // At most 180 by the line above.
    let inside_s = u32::try_from(inside).unwrap_or(MAX_DURATION_S);
    if inside == seconds {
        return Requested { seconds: inside_s, why, warning: None };
    }
    let warning = format!(
        "{seconds} s were asked for; films last {MIN_DURATION_S} to {MAX_DURATION_S} s, so this one lasts {inside_s} s"
    );
    Requested {
        seconds: inside_s,
        why: format!("{why} Films last {MIN_DURATION_S} to {MAX_DURATION_S} s, so it was set to {inside_s} s."),
        warning: Some(warning),
    }
}

/// The length that a text asks for, if it does. "Ready in 90 seconds" or "24-hour care" is about the product: outside the
/// limits only a figure right beside a word for the film counts.
fn said_in(text: &Text, lexicon: &Lexicon) -> Option<u64> {
    let mediums = lexicon.grammar.mask("medium", text);
    let limits = u64::from(MIN_DURATION_S)..=u64::from(MAX_DURATION_S);
    let near = |c: &Candidate, reach: usize| {
        let from = c.from.saturating_sub(reach);
        mediums.iter().take(c.to + reach).skip(from).any(|medium| *medium)
    };
    candidates(text, lexicon)
        .into_iter()
        .filter_map(|c| match (limits.contains(&c.seconds), near(&c, 2)) {
            (true, true) => Some((3, c)),
            (true, false) => Some((if near(&c, 5) { 2 } else { 1 }, c)),
            (false, true) => Some((2, c)),
            (false, false) => None,
        })
        // The first among equals.
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, c)| c.seconds)
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    seconds: u64,
    from: usize,
    to: usize,
}

/// The words that say a length, so that nobody takes them for a product.
pub fn mask(text: &Text, lexicon: &Lexicon) -> Vec<bool> {
    let mut mask = vec![false; text.words.len()];
    for candidate in candidates(text, lexicon) {
        mask[candidate.from..candidate.to].fill(true);
    }
    mask
}

/// Every length in a text; a minute and the seconds right after it are one.
fn candidates(text: &Text, lexicon: &Lexicon) -> Vec<Candidate> {
    let numbers = lexicon.numbers.hits(text);
    let mut found: Vec<Candidate> = Vec::new();
    for hit in lexicon.length.hits(text) {
        let Ok(unit) = hit.concept.attribute("seconds").parse::<f64>() else { continue };
        let one = if hit.concept.id.starts_with("phrase_") {
            Candidate { seconds: unit as u64, from: hit.from, to: hit.to }
        } else {
            let Some((count, from)) = number_before(text, &numbers, hit.from) else { continue };
            let seconds = (count * unit).round().clamp(0.0, 1e6) as u64;
            // "A second video" is the next one, not one of a second.
            if seconds < 2 {
                continue;
            }
            Candidate { seconds, from, to: hit.to }
        };
        match found.last_mut() {
            Some(before) if before.seconds.is_multiple_of(60) && one.seconds < 60 && one.from <= before.to + 1 => {
                before.seconds += one.seconds;
                before.to = one.to;
            }
            _ => found.push(one),
        }
    }
    found
}

/// The number that ends right before word `at`, and where it begins.
fn number_before(text: &Text, numbers: &[Hit<'_>], at: usize) -> Option<(f64, usize)> {
    let last = at.checked_sub(1)?;
    if text.words[last].is_number() {
        let whole = |i: usize| text.words.get(i).filter(|word| word.is_number()).map(|word| word.folded.as_str());
        let decimal = last.checked_sub(1).filter(|_| matches!(text.gap_before(last), "." | ",")).and_then(whole);
        return match decimal {
            Some(before) => Some((format!("{before}.{}", text.words[last].folded).parse().ok()?, last - 1)),
            None => Some((text.words[last].folded.parse().ok()?, last)),
        };
    }
    let value = |hit: &Hit<'_>| hit.concept.attribute("value").parse::<f64>().ok();
    let (mut total, mut from) = (0.0, at);
    // From the right: ones, then tens ("twenty five"), or a factor of ten ("三十").
    while let Some(hit) = numbers.iter().find(|hit| hit.to == from) {
        let number = value(hit)?;
        let dense = text.words[hit.from].is_dense();
        total = match (dense, total) {
            (_, 0.0) => number,
            (true, ten) if ten >= 10.0 && number < 10.0 => ten + number * 10.0 - 10.0,
            (true, ones) if ones < 10.0 => ones + number,
            (false, ones) if ones < 10.0 && number >= 20.0 => ones + number,
            _ => break,
        };
        from = hit.from;
    }
    (total > 0.0).then_some((total, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(prompt: &str) -> Option<u64> {
        said_in(&Text::read(prompt), Lexicon::shipped().expect("valid"))
    }

    #[test]
    fn lengths_are_read_in_many_languages() {
        for (prompt, seconds) in [
            ("A 15 second ad for a watch", 15),
            ("ad, 15s, vertical", 15),
            ("a fifteen-second clip", 15),
            ("twenty five seconds of calm", 25),
            ("half a minute about tea", 30),
            ("one minute film", 60),
            ("a minute and a half", 90),
            ("1.5 minutes", 90),
            ("1 minute 20 seconds", 80),
            ("1 min and 20 sec", 80),
            ("ein 30-sekündiger Spot", 30),
            ("eine halbe Minute Ruhe", 30),
            ("anderthalb Minuten", 90),
            ("un anuncio de 20 segundos", 20),
            ("de veinte segundos", 20),
            ("une pub de trente secondes", 30),
            ("uno spot di venti secondi", 20),
            ("um anúncio de 45 segundos", 45),
            ("ролик на 20 секунд", 20),
            ("двадцать секунд", 20),
            ("20-секундный ролик", 20),
            ("полминуты", 30),
            ("відео на 25 секунд", 25),
            ("spot na 15 sekund", 15),
            ("een video van 10 seconden", 10),
            ("15秒の広告", 15),
            ("１５秒", 15),
            ("三十五秒的广告", 35),
            ("十五秒视频", 15),
            ("半分钟", 30),
            ("20초 광고", 20),
        ] {
            assert_eq!(said(prompt), Some(seconds), "{prompt}");
        }
    }

    #[test]
    fn figures_about_the_product_are_not_the_length() {
        for prompt in [
            "a cream with 24-hour care",
            "a battery that lasts 12 hours",
            "a second video for us",
            "0 to 100 in 3.2 seconds",
            "watch 9:16",
        ] {
            assert_eq!(said(prompt), None, "{prompt}");
        }
        assert_eq!(said("A 20 second ad for a car: 0 to 100 in 3 seconds"), Some(20));
    }
}
