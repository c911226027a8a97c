//! “Call it”: ready code with the real base URL and model id; the key comes from the environment.

use crate::{
    links,
    ui::{Icon, copy::put},
};
use leptos::prelude::*;

const LANGUAGES: [(&str, &str); 4] = [("curl", "curl"), ("python", "Python"), ("javascript", "JavaScript"), ("variables", "Variables")];

#[component]
pub fn CallIt(tenant: Signal<String>, name: Signal<String>, code: Signal<String>, base_url: String, models: Vec<String>) -> impl IntoView {
    let model = models.into_iter().next().unwrap_or_default();
    // The page is drawn again when its query changes.
    let chosen = code.with_untracked(|c| LANGUAGES.iter().find(|(id, _)| id == c).map_or("python", |(id, _)| *id));
    let text = snippet(chosen, &base_url, &model);
    let copied = text.clone();
    view! {
        <section class="section" aria-labelledby="call" id="call-it">
            <header><h2 id="call">"Call it"</h2></header>
            <div class="box">
                <nav class="tabs inbox" aria-label="Language">{LANGUAGES.into_iter().map(|(id, label)| view! {
                    <a href=move || links::with(links::endpoint(&tenant.get(), &name.get()), &[("code", id)]) aria-current=(chosen == id).then_some("true") data-noscroll="">{label}</a>
                }).collect_view()}</nav>
                <pre class="code" tabindex="0" role="region" aria-label="Example">{text}</pre>
                <footer class="row boxfoot">
                    <button type="button" class="btn sm quiet scripted" on:click=move |_| put(&copied)><Icon name="copy"/>"Copy"</button>
                    <a class="small end" href=move || links::key_new(&tenant.get())>"Create a key"</a>
                </footer>
            </div>
        </section>
    }
}

fn snippet(language: &str, base_url: &str, model: &str) -> String {
    match language {
        "curl" => format!(
            "curl {base_url}/chat/completions \\\n  -H \"Authorization: Bearer $OPENAI_API_KEY\" \\\n  -H \"Content-Type: application/json\" \\\n  -d '{{\n    \"model\": \"{model}\",\n    \"messages\": [{{\n      \"role\": \"user\",\n      \"content\": \"Hello\"\n    }}]\n  }}'"
        ),
        "javascript" => format!(
            "import OpenAI from \"openai\";\n\n// key from the environment: OPENAI_API_KEY\nconst client = new OpenAI({{\n  baseURL: \"{base_url}\",\n}});\nconst answer = await client.chat.completions.create({{\n  model: \"{model}\",\n  messages: [{{ role: \"user\", content: \"Hello\" }}],\n  stream: true,\n}});\nfor await (const chunk of answer) {{\n  process.stdout.write(chunk.choices[0]?.delta?.content ?? \"\");\n}}"
        ),
        "variables" => format!("export OPENAI_BASE_URL={base_url}\nexport OPENAI_API_KEY=  # from API keys\nexport OPENAI_MODEL={model}"),
        _ => format!(
            "from openai import OpenAI\n\nclient = OpenAI(\n    base_url=\"{base_url}\",\n    # key from the environment:\n    # OPENAI_API_KEY\n)\nanswer = client.chat.completions.create(\n    model=\"{model}\",\n    messages=[{{\n        \"role\": \"user\",\n        \"content\": \"Hello\",\n    }}],\n    stream=True,\n)\nfor chunk in answer:\n    print(chunk.choices[0].delta.content or \"\", end=\"\")"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_names_the_address_and_the_model() {
        for (id, _) in LANGUAGES {
            let text = snippet(id, "http://127.0.0.1:3000/t/lumenta/v1", "assistant");
            assert!(text.contains("http://127.0.0.1:3000/t/lumenta/v1") && text.contains("assistant"), "{id}");
        }
    }
}
