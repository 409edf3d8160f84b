//! Finding known words in what people wrote, in any script.

/// A text cut into lower-case words. Scripts without spaces stay in one piece.
pub fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !(c.is_alphanumeric() || c == '-'))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether one of `names` is among the words. A trailing `*` takes any ending; names in Chinese, Japanese or Korean
/// are found anywhere inside a word.
pub fn has_word(words: &[String], names: &[&str]) -> bool {
    names.iter().any(|name| {
        words.iter().any(|word| match name.strip_suffix('*') {
            Some(start) => word.starts_with(start),
            None if name.starts_with(|c| c >= '\u{2e80}') => word.contains(name),
            None => word == name || word.split('-').any(|part| part == *name),
        })
    })
}

/// An identifier as people read it: `slow_dolly_in` becomes `Slow dolly in`.
pub fn readable(id: &str) -> String {
    let spaced = id.replace(['_', '-'], " ");
    let mut letters = spaced.trim().chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_inside_another_is_not_found() {
        assert!(!has_word(&words("skincare for careful people"), &["car"]));
        assert!(has_word(&words("A red CAR, parked"), &["car"]));
        assert!(has_word(&words("новые кроссовки"), &["кроссов*"]));
        assert!(has_word(&words("高级手表广告"), &["手表"]));
    }

    #[test]
    fn an_identifier_reads_as_words() {
        assert_eq!(readable("slow_dolly_in"), "Slow dolly in");
        assert_eq!(readable(""), "");
        assert_eq!(readable("élan-vital"), "Élan vital");
    }
}
