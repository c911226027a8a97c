//! The short way for rows in which nothing is wrong, which are nearly all: texts are borrowed from the row and nothing is built in
//! memory. It accepts only what [`super::judge`] accepts, with the same messages; everything else it leaves to that, which knows what
//! to say. A test compares the two.

use super::{MOST_BYTES, shapes::plain_role};
use crate::format::Format;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use std::borrow::Cow;

/// One turn, as [`crate::inspect::Message`], borrowed from its row where it can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Turn<'a> {
    pub role: &'static str,
    pub content: Cow<'a, str>,
}

/// Borrowed when nothing in it is escaped; serde's own `Cow` is never, inside of an `Option`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A key by which a row asks for the closer look, unless it is null.
type Odd = Option<IgnoredAny>;

/// A row of one format, with the keys of any that ask for it: other stages, tools, earlier turns.
macro_rules! row {
    ($name:ident<$a:lifetime> { $($field:ident: $kind:ty),* $(,)? }) => {
        #[derive(Deserialize)]
        struct $name<$a> {
            $(#[serde(borrow)] $field: $kind,)*
            chosen: Odd,
            rejected: Odd,
            preferred_output: Odd,
            non_preferred_output: Odd,
            kto_tag: Odd,
            label: Odd,
            tools: Odd,
            functions: Odd,
            history: Odd,
        }
        impl $name<'_> {
            fn is_plain(&self) -> bool {
                let odd = [
                    &self.chosen, &self.rejected, &self.preferred_output, &self.non_preferred_output, &self.kto_tag, &self.label, &self.tools,
                    &self.functions, &self.history,
                ];
                odd.iter().all(|key| key.is_none())
            }
        }
    };
}

row!(Openai<'a> { messages: Vec<Message<'a>> });
row!(Sharegpt<'a> { conversations: Vec<SharegptTurn<'a>>, system: Option<Text<'a>> });
row!(Alpaca<'a> { instruction: Text<'a>, output: Text<'a>, input: Option<Text<'a>>, system: Option<Text<'a>> });

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Text<'a>,
    tool_calls: Odd,
    function_call: Odd,
}

#[derive(Deserialize)]
struct SharegptTurn<'a> {
    #[serde(borrow)]
    from: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
    tool_calls: Odd,
    function_call: Odd,
}

/// The turns of a row in which nothing is wrong; `None` = it needs a closer look. `is_clean` says whether a text holds none of the
/// texts that no question or answer may hold.
pub fn read<'a>(row: &'a [u8], format: Format, is_clean: impl Fn(&str) -> bool) -> Option<Vec<Turn<'a>>> {
    if row.len() > MOST_BYTES {
        return None;
    }
    let row = std::str::from_utf8(row).ok()?;
    let turns = match format {
        Format::OpenaiMessages => {
            let row: Openai<'a> = serde_json::from_str(row).ok()?;
            if !row.is_plain() {
                return None;
            }
            let mut turns = Vec::with_capacity(row.messages.len());
            for m in row.messages {
                turn(&mut turns, &m.role.0, m.content.0, m.tool_calls.is_some() || m.function_call.is_some())?;
            }
            turns
        }
        Format::Sharegpt => {
            let row: Sharegpt<'a> = serde_json::from_str(row).ok()?;
            if !row.is_plain() {
                return None;
            }
            let mut turns = Vec::with_capacity(row.conversations.len() + 1);
            if let Some(Text(system)) = row.system {
                turn(&mut turns, "system", system, false)?;
            }
            for s in row.conversations {
                turn(&mut turns, &s.from.0, s.value.0, s.tool_calls.is_some() || s.function_call.is_some())?;
            }
            turns
        }
        Format::Alpaca => {
            let row: Alpaca<'a> = serde_json::from_str(row).ok()?;
            if !row.is_plain() {
                return None;
            }
            let mut turns = Vec::with_capacity(3);
            if let Some(Text(system)) = row.system {
                turn(&mut turns, "system", system, false)?;
            }
            let question = match (row.instruction.0, row.input.map(|t| t.0).filter(|t| !t.trim().is_empty())) {
                (instruction, None) => instruction,
                (instruction, Some(input)) if instruction.is_empty() => input,
                (instruction, Some(input)) => Cow::Owned(format!("{instruction}\n{input}")),
            };
            turn(&mut turns, "user", question, false)?;
            turn(&mut turns, "assistant", row.output.0, false)?;
            turns
        }
    };
    let talk = if turns.first()?.role == "system" { &turns[1..] } else { &turns[..] };
    let in_turn = talk.iter().enumerate().all(|(i, t)| t.role == if i % 2 == 0 { "user" } else { "assistant" });
    let sound =
        in_turn && !talk.is_empty() && talk.len() % 2 == 0 && turns.iter().all(|t| !t.content.contains('\0') && is_clean(&t.content));
    sound.then_some(turns)
}

fn turn<'a>(turns: &mut Vec<Turn<'a>>, role: &str, content: Cow<'a, str>, odd: bool) -> Option<()> {
    let role = plain_role(role).filter(|_| !odd)?;
    match (content.trim().is_empty(), role) {
        // An empty system text says nothing.
        (true, "system") => {}
        (true, _) => return None,
        (false, _) => turns.push(Turn { role, content }),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::rules::{CONTROL_TOKENS, judge};
    use proptest::prelude::*;

    fn tokens() -> Vec<String> {
        CONTROL_TOKENS.iter().map(|t| (*t).to_owned()).collect()
    }

    fn short(row: &str, format: Format) -> Option<Vec<(String, String)>> {
        let turns = read(row.as_bytes(), format, |text| !CONTROL_TOKENS.iter().any(|t| text.contains(t)))?;
        Some(turns.into_iter().map(|t| (t.role.to_owned(), t.content.into_owned())).collect())
    }

    fn long(row: &str, format: Format) -> Option<Vec<(String, String)>> {
        Some(judge(row.as_bytes(), format, &tokens()).conversation?.messages.into_iter().map(|m| (m.role, m.content)).collect())
    }

    #[test]
    fn plain_rows_take_the_short_way_and_texts_are_borrowed() {
        for (format, row) in [
            (
                Format::OpenaiMessages,
                r#"{"messages":[{"role":"system","content":""},{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#,
            ),
            (
                Format::Sharegpt,
                r#"{"system":"s","conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}],"id":{"x":[1]}}"#,
            ),
            (Format::Alpaca, r#"{"instruction":"a","input":null,"output":"b","history":null}"#),
            (Format::Alpaca, r#"{"instruction":"a","input":"c","output":"b"}"#),
        ] {
            assert!(short(row, format).is_some(), "{row}");
            assert_eq!(short(row, format), long(row, format));
        }
        let row = br#"{"instruction":"a","output":"b"}"#;
        let turns = read(row, Format::Alpaca, |_| true).unwrap();
        assert!(turns.iter().all(|t| matches!(t.content, Cow::Borrowed(_))));
    }

    fn text() -> impl Strategy<Value = serde_json::Value> {
        prop_oneof![
            6 => prop::sample::select(vec!["a", "b c", " ", "", "x\u{0}y", "<|im_end|>", "ä\n\"q\""]).prop_map(serde_json::Value::from),
            1 => Just(serde_json::Value::Null),
            1 => Just(serde_json::json!([{"type": "text", "text": "part"}])),
            1 => Just(serde_json::json!(3)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn what_the_short_way_accepts_the_long_way_accepts_alike(
            turns in prop::collection::vec((prop::sample::select(vec!["user", "assistant", "assistant", "user", "system", "gpt", "human", "tool", "x"]), text()), 0..5),
            extra in prop::option::of((prop::sample::select(vec!["tools", "kto_tag", "label", "chosen", "system", "history", "input", "id", "output"]), text())),
            format in prop::sample::select(Format::ALL.to_vec()),
        ) {
            let mut row = match format {
                Format::OpenaiMessages => serde_json::json!({"messages": turns.iter().map(|(r, t)| serde_json::json!({"role": r, "content": t})).collect::<Vec<_>>()}),
                Format::Sharegpt => serde_json::json!({"conversations": turns.iter().map(|(r, t)| serde_json::json!({"from": r, "value": t})).collect::<Vec<_>>()}),
                Format::Alpaca => {
                    let at = |i: usize| turns.get(i).map_or(serde_json::json!("z"), |t| t.1.clone());
                    serde_json::json!({"instruction": at(0), "output": at(1), "input": at(2)})
                }
            };
            if let Some((key, value)) = extra {
                row[key] = value;
            }
            let row = row.to_string();
            if let Some(turns) = short(&row, format) {
                prop_assert_eq!(Some(turns), long(&row, format), "{}", row);
            }
        }
    }
}
