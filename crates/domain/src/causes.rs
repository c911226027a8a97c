//! An error with everything that caused it.

use std::error::Error;

/// The error itself, then what caused it, down to the innermost.
pub fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e| e.source())
}

/// All of them in one line for the log, outermost first; what an error says of its cause by itself is not said again.
pub fn in_words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in error.source().into_iter().flat_map(causes) {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{says}")]
    struct Layer {
        says: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(says: &[&'static str]) -> Layer {
        Layer { says: says[0], source: (says.len() > 1).then(|| Box::new(layers(&says[1..]))) }
    }

    #[test]
    fn every_cause_is_named_once() {
        assert_eq!(in_words(&layers(&["no answer", "connection refused", "os error 111"])), "no answer: connection refused: os error 111");
        assert_eq!(in_words(&layers(&["no answer: refused", "refused"])), "no answer: refused");
        assert_eq!(causes(&layers(&["a", "b", "c"])).count(), 3);
    }
}
