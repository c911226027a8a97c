//! A text from outside as one line that can be drawn: a name that somebody chose elsewhere must not turn the words around it
//! (bidirectional marks), hide (zero width), or fill the page.

/// Longest name of a person, characters.
pub const NAME: usize = 100;
/// Longest e-mail address, characters; RFC 5321 has no longer one.
pub const EMAIL: usize = 254;

/// Without control and formatting characters, blanks as single spaces, `longest` characters at most with “…” as the last of what was cut.
pub fn one_line(text: &str, longest: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut blank = false;
    let mut last = ' ';
    for c in text.chars() {
        if c.is_whitespace() {
            blank = length > 0;
            last = ' ';
            continue;
        }
        if is_unseen(c) && !(joins(c) && !last.is_ascii() && !joins(last)) {
            continue;
        }
        let needed = 1 + usize::from(blank);
        if length + needed > longest {
            shorten(&mut line, length, longest);
            return line;
        }
        if blank {
            line.push(' ');
            blank = false;
        }
        line.push(c);
        length += needed;
        last = c;
    }
    line
}

fn shorten(line: &mut String, length: usize, longest: usize) {
    if length >= longest {
        line.pop();
    }
    line.push('…');
}

/// Joiners belong inside words of Persian and of several Indian scripts, and inside emoji; after a blank or a Latin letter they only hide.
const fn joins(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Control characters, and those of Unicode's category Cf (with the variation selectors and fillers that draw nothing either).
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_as_people_have_them_stays_as_it_is() {
        for name in ["Mira Castro", "Zoë O’Brien-Łuczak", "山田 太郎", "محمد علي", "می\u{200c}خواهم", "क्\u{200d}ष", "Ann (she/her) 🙂"]
        {
            assert_eq!(one_line(name, NAME), name);
        }
    }

    #[test]
    fn marks_that_turn_or_hide_words_are_gone() {
        assert_eq!(one_line("Mira\u{202e}rotsac\u{202c}", NAME), "Mirarotsac");
        assert_eq!(one_line("\u{2066}ad\u{200b}min\u{2069}\u{feff}", NAME), "admin");
        assert_eq!(one_line("a\u{200d}b", NAME), "ab", "a joiner between letters that never join");
        assert_eq!(one_line(" two\r\n\tlines\u{2028}and\0 a nul\u{7f} ", NAME), "two lines and a nul");
        assert_eq!(one_line("\u{200f}\u{3164}\u{ad} ", NAME), "", "nothing to be seen is nothing");
    }

    #[test]
    fn a_long_name_is_cut_and_says_so() {
        assert_eq!(one_line("abcdef", 6), "abcdef");
        assert_eq!(one_line("abcdefg", 6), "abcde…");
        assert_eq!(one_line("abcde  f", 6), "abcde…");
        let long = one_line(&"ä".repeat(100_000), NAME);
        assert!(long.chars().count() == NAME && long.ends_with("ä…"), "{long}");
    }

    proptest! {
        #[test]
        fn whatever_comes_a_line_is_short_drawn_and_stays_itself(text in "\\PC*|[\\x00-\\x20a\u{200b}-\u{202f}\u{2060}-\u{2069}é]*", longest in 1..50usize) {
            let line = one_line(&text, longest);
            prop_assert!(line.chars().count() <= longest);
            let turns = line.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
            prop_assert!(line.trim() == line && !turns);
            prop_assert_eq!(one_line(&line, longest), line);
        }
    }
}
