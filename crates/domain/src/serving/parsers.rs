//! vLLM's parsers of tool calls and of reasoning: their names, and which of them fits a chat template.
//!
//! A template shows how the model was taught to write a call, and only the parser of that notation finds it again. The marks
//! below are the special tokens and tags that model families write into their templates.

/// `--tool-call-parser` of the pinned vLLM.
pub const TOOL_CALL_PARSERS: &[&str] = &[
    "apertus",
    "cohere_command3",
    "cohere_command4",
    "deepseek_v3",
    "deepseek_v31",
    "deepseek_v32",
    "deepseek_v4",
    "deepseek_v41",
    "dots",
    "ernie45",
    "functiongemma",
    "gemma4",
    "gigachat3",
    "glm45",
    "glm47",
    "granite",
    "granite-20b-fc",
    "granite4",
    "hermes",
    "hunyuan_a13b",
    "hy_v3",
    "hy_v4",
    "inkling",
    "internlm",
    "jamba",
    "k2_horizon",
    "kimi_k2",
    "kimi_k3",
    "lfm2",
    "ling3",
    "llama3_json",
    "llama4_json",
    "llama4_pythonic",
    "longcat",
    "mimo",
    "minicpm5",
    "minimax_m2",
    "minimax_m3",
    "mistral",
    "muse_glimmer",
    "olmo3",
    "openai",
    "phi4_mini_json",
    "plamo3",
    "poolside_v1",
    "pythonic",
    "qwen3_coder",
    "qwen3_json",
    "qwen3_xml",
    "seed_oss",
    "step3",
    "step3p5",
    "xlam",
];

/// `--reasoning-parser` of the pinned vLLM.
pub const REASONING_PARSERS: &[&str] = &[
    "cohere_command3",
    "cohere_command4",
    "deepseek_r1",
    "deepseek_v3",
    "deepseek_v4",
    "deepseek_v41",
    "ernie45",
    "gemma4",
    "glm45",
    "glm47",
    "granite",
    "granite_thinking_parser",
    "holo2",
    "hunyuan_a13b",
    "hy_v3",
    "hy_v4",
    "inkling",
    "k2_horizon",
    "kimi_k2",
    "kimi_k3",
    "ling3",
    "mimo",
    "minicpmv",
    "minimax_m2",
    "minimax_m2_append_think",
    "minimax_m3",
    "mistral",
    "muse_glimmer",
    "nemotron_v3",
    "olmo3",
    "openai_gptoss",
    "plamo3",
    "poolside_v1",
    "qwen3",
    "seed_oss",
    "step3",
    "step3p5",
];

/// Marks that all stand in a template, and the parser of its notation. The first that fits counts: what is particular comes first.
const TOOL_CALL_MARKS: [(&[&str], &str); 16] = [
    (&["<minimax:tool_call>"], "minimax_m2"),
    (&["<seed:tool_call>"], "seed_oss"),
    (&["<|tool_calls_section_begin|>"], "kimi_k2"),
    (&["<|tool_call_start|>"], "lfm2"),
    (&["<start_function_call>"], "functiongemma"),
    (&["<|action_start|>"], "internlm"),
    (&["<|channel|>", "<|message|>"], "openai"),
    (&["<｜tool▁calls▁begin｜>", "```json"], "deepseek_v3"),
    (&["<｜tool▁calls▁begin｜>"], "deepseek_v31"),
    (&["[TOOL_CALLS]"], "mistral"),
    (&["<tool_call>", "<arg_key>"], "glm45"),
    (&["<tool_call>", "<function=", "<parameter="], "qwen3_coder"),
    (&["<tool_call>", "<|start_of_role|>"], "granite4"),
    (&["<|tool_call|>", "<|start_of_role|>"], "granite"),
    (&["<tool_call>", "arguments"], "hermes"),
    (&["<|start_header_id|>", "\"parameters\":"], "llama3_json"),
];

const REASONING_MARKS: [(&[&str], &str); 8] = [
    (&["<|channel|>", "<|message|>"], "openai_gptoss"),
    (&["<seed:think>"], "seed_oss"),
    (&["[THINK]"], "mistral"),
    (&["<minimax:tool_call>", "<think>"], "minimax_m2"),
    (&["<arg_key>", "<think>"], "glm45"),
    (&["<|tool_calls_section_begin|>", "<think>"], "kimi_k2"),
    (&["<｜Assistant｜>", "<think>"], "deepseek_r1"),
    (&["<|im_start|>", "<think>", "enable_thinking"], "qwen3"),
];

fn fitting(marks: &[(&[&str], &'static str)], template: &str) -> Option<&'static str> {
    marks.iter().find(|(all, _)| all.iter().all(|mark| template.contains(mark))).map(|(_, parser)| *parser)
}

/// The parser of the notation in which this chat template writes calls of tools; none when it writes none, or an unknown one.
pub fn tool_call_parser_for(template: &str) -> Option<&'static str> {
    template.contains("tool").then(|| fitting(&TOOL_CALL_MARKS, template)).flatten()
}

/// The parser that parts reasoning from the answer; none when the template knows no reasoning, or an unknown notation.
pub fn reasoning_parser_for(template: &str) -> Option<&'static str> {
    fitting(&REASONING_MARKS, template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_templates_get_their_own_parsers() {
        let qwen3 = "{%- if tools %}<|im_start|>system\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>{% endif %}{% if enable_thinking is false %}<think>\n\n</think>{% endif %}";
        let coder = "{% if tools %}<tool_call>\n<function=example>\n<parameter=a>\n</parameter>{% endif %}";
        let llama =
            "{% if tools %}<|start_header_id|>user<|end_header_id|>{\"name\": function name, \"parameters\": dictionary}{% endif %}";
        let mistral = "[AVAILABLE_TOOLS]{{ tools }}[/AVAILABLE_TOOLS][TOOL_CALLS]";
        for (template, tools, reasoning) in [
            (qwen3, Some("hermes"), Some("qwen3")),
            (coder, Some("qwen3_coder"), None),
            (llama, Some("llama3_json"), None),
            (mistral, Some("mistral"), None),
            ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}", None, None),
            ("", None, None),
        ] {
            assert_eq!((tool_call_parser_for(template), reasoning_parser_for(template)), (tools, reasoning), "{template}");
        }
    }

    #[test]
    fn every_parser_that_is_chosen_is_one_that_can_be_set() {
        assert!(TOOL_CALL_MARKS.iter().all(|(_, p)| TOOL_CALL_PARSERS.contains(p)));
        assert!(REASONING_MARKS.iter().all(|(_, p)| REASONING_PARSERS.contains(p)));
    }
}
