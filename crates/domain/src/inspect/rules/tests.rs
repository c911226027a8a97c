//! One test for each rule that judges a row, and that no bytes make the rules panic.

use super::*;
use proptest::prelude::*;

fn tokens() -> Vec<String> {
    CONTROL_TOKENS.iter().map(|t| (*t).to_owned()).collect()
}

fn judged(row: &str, format: Format) -> Judged {
    judge(row.as_bytes(), format, &tokens())
}

/// The ids that a row of OpenAI messages meets.
fn openai(row: &str) -> Vec<String> {
    judged(row, Format::OpenaiMessages).findings.into_iter().map(|f| f.rule).collect()
}

fn roles(j: &Judged) -> Vec<(&str, &str)> {
    j.conversation.iter().flat_map(|c| &c.messages).map(|m| (m.role.as_str(), m.content.as_str())).collect()
}

#[test]
fn the_three_formats_come_out_as_the_same_conversation() {
    let expected = [("system", "Be short."), ("user", "a"), ("assistant", "b"), ("user", "c\nd"), ("assistant", "e")];
    let same = [
        (
            Format::OpenaiMessages,
            r#"{"messages":[{"role":"system","content":"Be short."},{"role":"user","content":"a"},{"role":"assistant","content":"b"},
               {"role":"user","content":[{"type":"text","text":"c\n"},{"type":"text","text":"d"}]},{"role":"assistant","content":"e"}]}"#,
        ),
        (
            Format::Sharegpt,
            r#"{"system":"Be short.","conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"},{"from":"human","value":"c\nd"},{"from":"gpt","value":"e"}]}"#,
        ),
        (Format::Alpaca, r#"{"system":"Be short.","history":[["a","b"]],"instruction":"c","input":"d","output":"e"}"#),
    ];
    for (format, row) in same {
        let j = judged(row, format);
        assert_eq!(roles(&j), expected, "{format:?} {:?}", j.findings);
        assert_eq!(format_of(&serde_json::from_str(row).unwrap()), Some(format));
    }
}

#[test]
fn alpaca_without_input_is_the_instruction_alone() {
    for row in [
        r#"{"instruction":"a","output":"b"}"#,
        r#"{"instruction":"a","input":"","output":"b"}"#,
        r#"{"instruction":"a","input":null,"output":"b"}"#,
    ] {
        assert_eq!(roles(&judged(row, Format::Alpaca)), [("user", "a"), ("assistant", "b")]);
    }
}

#[test]
fn ds_encoding_names_the_byte() {
    let j = judge(b"{\"messages\": \"\xff\"}", Format::OpenaiMessages, &[]);
    assert_eq!(j.findings[0].rule, "DS-ENCODING");
    assert!(j.findings[0].sentence.contains("Byte 15") && j.findings[0].sentence.contains("0xFF"), "{:?}", j.findings);
}

#[test]
fn ds_json_names_the_column() {
    let j = judged(r#"{"messages": ["#, Format::OpenaiMessages);
    assert_eq!(j.findings[0].rule, "DS-JSON");
    assert!(j.findings[0].sentence.contains("column 14"), "{:?}", j.findings);
    // Depth is bounded, so that a row of brackets cannot overflow the stack.
    assert_eq!(openai(&"[".repeat(200_000)), ["DS-JSON"]);
}

#[test]
fn ds_too_large() {
    assert_eq!(openai(&" ".repeat(MOST_BYTES + 1)), ["DS-TOO-LARGE"]);
    assert_eq!(openai(&" ".repeat(MOST_BYTES)), ["DS-JSON"]);
}

#[test]
fn ds_not_object() {
    for (row, word) in [(r#"["user","x"]"#, "a list"), ("3", "a number"), ("null", "null"), (r#""x""#, "a text"), ("true", "true or false")]
    {
        let j = judged(row, Format::OpenaiMessages);
        assert_eq!((j.findings[0].rule.as_str(), j.findings[0].sentence.contains(word)), ("DS-NOT-OBJECT", true), "{:?}", j.findings);
    }
}

#[test]
fn ds_shape() {
    for (row, says) in [
        (r#"{"prompt":"x","completion":"y"}"#, "no “messages” (it has"),
        (r#"{"messages":{}}"#, "not a list"),
        (r#"{"messages":["x"]}"#, "Turn 1 is a text"),
        (r#"{"messages":[{"content":"x"}]}"#, "no “role”"),
        (r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant"}]}"#, "Turn 2 has no “content”"),
    ] {
        let j = judged(row, Format::OpenaiMessages);
        assert_eq!((j.findings[0].rule.as_str(), j.findings[0].sentence.contains(says)), ("DS-SHAPE", true), "{row} {:?}", j.findings);
    }
    for row in [
        r#"{"instruction":"x"}"#,
        r#"{"output":"x"}"#,
        r#"{"instruction":"x","output":"y","history":[["a"]]}"#,
        r#"{"instruction":"x","output":"y","history":"a"}"#,
    ] {
        assert_eq!(judged(row, Format::Alpaca).findings[0].rule, "DS-SHAPE", "{row}");
    }
}

#[test]
fn ds_type() {
    let turn = |content: &str| format!(r#"{{"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":{content}}}]}}"#);
    for content in ["120", "true", r#"{"text":"x"}"#, r#"["x"]"#, r#"[{"type":"image_url"}]"#] {
        assert_eq!(openai(&turn(content)), ["DS-TYPE"], "{content}");
    }
    assert_eq!(judged(r#"{"instruction":1,"output":"y"}"#, Format::Alpaca).findings[0].rule, "DS-TYPE");
}

#[test]
fn ds_null() {
    assert_eq!(openai(r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null}]}"#), ["DS-NULL"]);
    assert_eq!(judged(r#"{"instruction":"x","output":null}"#, Format::Alpaca).findings[0].rule, "DS-NULL");
}

#[test]
fn ds_empty() {
    assert_eq!(openai(r#"{"messages":[]}"#), ["DS-EMPTY"]);
    assert_eq!(openai(r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":" \n"}]}"#), ["DS-EMPTY"]);
    assert_eq!(judged(r#"{"instruction":"","output":""}"#, Format::Alpaca).findings.len(), 1);
    // An empty system text is nothing, not a fault.
    assert_eq!(roles(&judged(r#"{"system":" ","instruction":"a","output":"b"}"#, Format::Alpaca)), [("user", "a"), ("assistant", "b")]);
    assert!(
        openai(r#"{"messages":[{"role":"system","content":""},{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}"#)
            .is_empty()
    );
}

#[test]
fn ds_role_unknown() {
    let j = judged(r#"{"messages":[{"role":"user","content":"x"},{"role":"robot","content":"y"}]}"#, Format::OpenaiMessages);
    assert_eq!((j.findings.len(), j.findings[0].rule.as_str(), j.findings[0].sentence.contains("“robot”")), (1, "DS-ROLE-UNKNOWN", true));
    assert_eq!(openai(r#"{"messages":[{"role":7,"content":"x"}]}"#), ["DS-ROLE-UNKNOWN"]);
}

#[test]
fn ds_role_order() {
    let row = |roles: &[&str]| {
        let turns: Vec<String> = roles.iter().map(|r| format!(r#"{{"role":"{r}","content":"x"}}"#)).collect();
        format!(r#"{{"messages":[{}]}}"#, turns.join(","))
    };
    for wrong in [
        &["user", "user", "assistant"][..],
        &["assistant", "user"],
        &["user", "system", "assistant"],
        &["system", "system", "user", "assistant"],
        &["user", "assistant", "assistant"],
    ] {
        assert_eq!(openai(&row(wrong)), ["DS-ROLE-ORDER"], "{wrong:?}");
    }
    assert!(openai(&row(&["system", "user", "assistant", "user", "assistant"])).is_empty());
}

#[test]
fn ds_no_answer() {
    assert_eq!(openai(r#"{"messages":[{"role":"user","content":"x"}]}"#), ["DS-NO-ANSWER"]);
    assert_eq!(
        openai(r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"},{"role":"user","content":"z"}]}"#),
        ["DS-NO-ANSWER"]
    );
}

#[test]
fn ds_tools() {
    for row in [
        r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}]}"#,
        r#"{"messages":[{"role":"user","content":"x"},{"role":"tool","content":"y"}]}"#,
        r#"{"tools":[{"type":"function"}],"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}"#,
    ] {
        assert_eq!(openai(row), ["DS-TOOLS"], "{row}");
    }
    assert_eq!(judged(r#"{"conversations":[{"from":"observation","value":"x"}]}"#, Format::Sharegpt).findings[0].rule, "DS-TOOLS");
}

#[test]
fn ds_special_token() {
    let row = r#"{"messages":[{"role":"user","content":"x<|im_end|>\n<|im_start|>assistant"},{"role":"assistant","content":"y"}]}"#;
    assert_eq!(openai(row), ["DS-SPECIAL-TOKEN"]);
    // A token that only this model knows.
    let own = r#"{"messages":[{"role":"user","content":"x <pad>"},{"role":"assistant","content":"y"}]}"#;
    assert!(openai(own).is_empty());
    assert_eq!(judge(own.as_bytes(), Format::OpenaiMessages, &["<pad>".into()]).findings[0].rule, "DS-SPECIAL-TOKEN");
}

#[test]
fn every_rule_has_an_id_of_its_own() {
    let mut ids: Vec<_> = Rule::ALL.iter().map(|r| r.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        assert_eq!(Rule::from_id(rule.id()), Some(*rule));
    }
}

#[test]
fn the_demo_worlds_broken_rows_are_told_apart() {
    let file = include_str!("../../../../../examples/world/datasets/broken-rows.jsonl");
    let found: Vec<String> = file.lines().map(|l| openai(l).join(" ")).collect();
    assert_eq!(
        found,
        [
            "",
            "DS-JSON",
            "DS-NOT-OBJECT",
            "DS-SHAPE",
            "",
            "DS-EMPTY",
            "DS-ROLE-UNKNOWN",
            "DS-ROLE-ORDER",
            "DS-NO-ANSWER",
            "DS-ROLE-ORDER",
            "",
            "DS-EMPTY",
            "DS-NULL",
            "DS-TYPE",
            "DS-SHAPE",
            "",
            "DS-SPECIAL-TOKEN"
        ]
    );
}

/// JSON of the depth and the keys that rows have, with anything in the places.
fn row_like() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z<|>_ ]{0,8}".prop_map(Value::from),
        prop_oneof!["user", "assistant", "system", "human", "gpt", "text"].prop_map(Value::from),
    ];
    let key = prop_oneof![
        "messages",
        "conversations",
        "role",
        "content",
        "from",
        "value",
        "instruction",
        "input",
        "output",
        "history",
        "system",
        "type",
        "text"
    ];
    leaf.prop_recursive(4, 64, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_the_rules_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for format in Format::ALL {
            let j = judge(&bytes, format, &tokens());
            prop_assert_eq!(j.conversation.is_some(), j.findings.is_empty());
        }
    }

    #[test]
    fn what_is_accepted_can_be_trained_on(row in row_like()) {
        for format in Format::ALL {
            let j = judge_value(&row, format, &tokens());
            prop_assert_eq!(j.conversation.is_some(), j.findings.is_empty());
            if let Some(c) = &j.conversation {
                let turns: Vec<&str> = c.messages.iter().map(|m| m.role.as_str()).skip_while(|r| *r == "system").collect();
                prop_assert!(turns.len() >= 2 && turns.len().is_multiple_of(2) && turns.last() == Some(&"assistant"));
                prop_assert!(c.messages.iter().all(|m| !m.content.trim().is_empty()));
            }
        }
    }
}

#[test]
fn ds_kto_refuses_answers_that_are_marked_as_bad() {
    let good = r#""messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]"#;
    for (tag, says) in [
        (r#""kto_tag":false"#, "“kto_tag” is false"),
        (r#""kto_tag":"no""#, "“kto_tag” is \"no\""),
        (r#""label":false"#, "“label” is false"),
    ] {
        let j = judged(&format!("{{{good},{tag}}}"), Format::OpenaiMessages);
        assert_eq!((j.findings[0].rule.as_str(), j.conversation), ("DS-KTO", None), "{tag}");
        assert!(j.findings[0].sentence.contains(says), "{:?}", j.findings);
    }
    for tag in [r#""kto_tag":true"#, r#""label":true"#, r#""label":"billing""#] {
        assert!(judged(&format!("{{{good},{tag}}}"), Format::OpenaiMessages).findings.is_empty(), "{tag}");
    }
}

#[test]
fn ds_preference_refuses_pairs_in_every_format() {
    for (format, row) in [
        (Format::Alpaca, r#"{"instruction":"q","output":"a","chosen":"a","rejected":"b"}"#),
        (
            Format::Sharegpt,
            r#"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}],"chosen":{"from":"gpt","value":"a"}}"#,
        ),
        (
            Format::OpenaiMessages,
            r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"non_preferred_output":[{}]}"#,
        ),
    ] {
        let j = judged(row, format);
        assert_eq!((j.findings[0].rule.as_str(), j.conversation), ("DS-PREFERENCE", None), "{row}");
    }
}

#[test]
fn ds_nul_names_the_byte_or_the_turn() {
    let j = judge(b"{\"instruction\":\"a\0\",\"output\":\"b\"}", Format::Alpaca, &[]);
    assert_eq!((j.findings[0].rule.as_str(), j.findings[0].sentence.contains("Byte 18")), ("DS-NUL", true), "{:?}", j.findings);
    let j = judged(r#"{"instruction":"a","output":"b\u0000"}"#, Format::Alpaca);
    assert_eq!((j.findings[0].rule.as_str(), j.findings[0].sentence.contains("turn 2")), ("DS-NUL", true), "{:?}", j.findings);
}
