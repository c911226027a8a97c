//! The form of a new run as text, exactly as typed: read into settings by the page (live) and by the server (for good) with the same code.

use super::resources_form::ResourcesForm;
use domain::{
    model::WeightsKind,
    name::Name,
    problem::FieldProblem,
    resource_request::ResourceRequest,
    run::{MOST_NODES, NewRun},
    settings::{Catalogue, Document, RunSettings},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! fields {
    ($($key:ident),* $(,)?) => {
        /// All fields of the form; missing ones are empty.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct RunForm {
            $(pub $key: String,)*
            /// Settings that came in fields of their own, by the trainer's keys: a plain post, or a script. They win over [`Self::yaml`].
            #[serde(flatten)]
            pub settings: BTreeMap<String, String>,
        }

        impl RunForm {
            /// The fields that are ours and not the trainer's.
            pub const OURS: &'static [&'static str] = &[$(stringify!($key)),*];

            fn ours(&self, key: &str) -> Option<&String> {
                match key { $(stringify!($key) => Some(&self.$key),)* _ => None }
            }
            fn ours_mut(&mut self, key: &str) -> Option<&mut String> {
                match key { $(stringify!($key) => Some(&mut self.$key),)* _ => None }
            }
        }
    };
}

fields! { name, base_model, dataset, model_name, result, nodes, gpus, gpu_product, mig_profile, cpu, memory_gb, cloned_from, submission, yaml }

impl RunForm {
    /// A field of ours that somebody fills in, and not one that the page carries along.
    pub fn is_typed(key: &str) -> bool {
        Self::OURS.contains(&key) && !["cloned_from", "submission", "yaml"].contains(&key)
    }

    /// The form that shows these wishes; `yaml` are their settings.
    pub fn of(new: &NewRun, yaml: String) -> Self {
        let ResourcesForm { gpus, gpu_product, mig_profile, cpu, memory_gb } = ResourcesForm::of(&new.resources);
        Self {
            gpus,
            gpu_product,
            mig_profile,
            cpu,
            memory_gb,
            name: new.name.clone(),
            base_model: new.base_model.clone(),
            dataset: match new.dataset_number {
                Some(n) if !new.dataset.is_empty() => format!("{}@{n}", new.dataset),
                _ => new.dataset.clone(),
            },
            model_name: new.model_name.clone(),
            result: new.result.word().into(),
            nodes: new.nodes.to_string(),
            cloned_from: new.cloned_from.map(|id| id.to_string()).unwrap_or_default(),
            submission: new.submission.clone(),
            yaml,
            settings: BTreeMap::new(),
        }
    }

    /// What a field holds; empty for a setting that is not set.
    pub fn get(&self, key: &str) -> String {
        self.ours(key).cloned().unwrap_or_else(|| self.document().get(key))
    }

    /// Puts what was typed into a field of ours or into the settings' text, in which nothing else changes.
    pub fn set(&mut self, key: &str, value: String) {
        match self.ours_mut(key) {
            Some(field) => *field = value,
            None => {
                let mut document = self.document();
                document.set(key, &value);
                self.settings.clear();
                self.yaml = document.text();
            }
        }
    }

    /// Takes fields as a form posts them or an address carries them (`form[lora_rank]`); settings in fields of their own last, since they
    /// win over the text. What makes a form the same one when it is sent twice is left as it is.
    pub fn take(&mut self, fields: &[(String, String)]) {
        let key = |name: &str| name.strip_prefix("form[")?.strip_suffix(']').map(str::to_owned);
        let named: Vec<_> = fields.iter().filter_map(|(name, value)| Some((key(name)?, value))).collect();
        let (ours, settings): (Vec<_>, Vec<_>) = named.into_iter().partition(|(key, _)| Self::OURS.contains(&key.as_str()));
        for (key, value) in ours.into_iter().filter(|(key, _)| key != "submission").chain(settings) {
            self.set(&key, value.clone());
        }
    }

    /// What the file of its settings is called.
    pub fn file_name(&self) -> String {
        let name = self.name.trim().parse::<Name>();
        name.map_or_else(|_| "run.yaml".to_owned(), |name| format!("{name}.yaml"))
    }

    /// Takes a setting out, with its line.
    pub fn remove(&mut self, key: &str) {
        let mut document = self.document();
        document.remove(key);
        self.settings.clear();
        self.yaml = document.text();
    }

    /// The settings as a text: what was written, with what came in fields of its own.
    pub fn document(&self) -> Document {
        let mut document = Document::new(&self.yaml);
        for (key, value) in &self.settings {
            if document.get(key) != *value {
                document.set(key, value);
            }
        }
        document
    }

    /// What was typed as settings. A setting that cannot be read keeps its default, and is named in the problems.
    pub fn settings(&self, catalogue: &Catalogue) -> (RunSettings, Vec<FieldProblem>) {
        catalogue.read(&self.document())
    }

    /// Dataset name and version number of `name@3`.
    pub fn dataset_and_number(&self) -> (&str, Option<u32>) {
        match self.dataset.split_once('@') {
            Some((name, number)) => (name, number.parse().ok()),
            None => (&self.dataset, None),
        }
    }

    /// What its processes may use.
    pub fn resources(&self) -> Result<ResourceRequest, Vec<FieldProblem>> {
        ResourcesForm {
            gpus: self.gpus.clone(),
            gpu_product: self.gpu_product.clone(),
            mig_profile: self.mig_profile.clone(),
            cpu: self.cpu.clone(),
            memory_gb: self.memory_gb.clone(),
        }
        .read()
    }

    /// Over how many nodes it is spread; where that cannot be read, why.
    pub fn node_count(&self) -> Result<u32, FieldProblem> {
        match self.nodes.trim() {
            // Where there is no choice, the form has no such field.
            "" => Ok(1),
            text => text.parse().ok().filter(|n| (1..=MOST_NODES).contains(n)).ok_or_else(|| {
                let sentence = format!("“{text}” cannot be used. Nodes must be a whole number between 1 and {MOST_NODES}.");
                FieldProblem::new("nodes", sentence).suggesting("1")
            }),
        }
    }

    /// The wishes, or every field that cannot be read.
    pub fn new_run(&self, catalogue: &Catalogue) -> Result<NewRun, Vec<FieldProblem>> {
        let (settings, mut problems) = self.settings(catalogue);
        let cloned_from = match self.cloned_from.as_str() {
            "" => None,
            id => match id.parse() {
                Ok(id) => Some(id),
                Err(_) => {
                    problems.push(FieldProblem::new("cloned_from", "The run that this one was cloned from is not known."));
                    None
                }
            },
        };
        let nodes = self.node_count().map_err(|problem| problems.push(problem)).unwrap_or(1);
        let resources = self.resources().map_err(|wrong| problems.extend(wrong)).unwrap_or_default();
        if !problems.is_empty() {
            return Err(problems);
        }
        let (dataset, dataset_number) = self.dataset_and_number();
        Ok(NewRun {
            name: self.name.trim().to_owned(),
            base_model: self.base_model.clone(),
            dataset: dataset.to_owned(),
            dataset_number,
            model_name: self.model_name.trim().to_owned(),
            settings,
            result: WeightsKind::from_word(&self.result).unwrap_or_default(),
            nodes,
            resources,
            custom: None,
            cloned_from,
            submission: self.submission.clone(),
        })
    }
}

/// Bytes of a file with settings, at most. Without scripts its text comes back in an address.
pub const FILE_BYTES: usize = 16_000;

/// The text of a file with settings, or why there is none.
pub fn file_text(bytes: &[u8]) -> Result<String, FieldProblem> {
    if bytes.len() > FILE_BYTES {
        let sentence = format!("The file has more than {}\u{a0}KB. Settings of a run are some lines of “key: value”.", FILE_BYTES / 1000);
        return Err(FieldProblem::new("file", sentence));
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| FieldProblem::new("file", "The file is no text in UTF-8. Save it as such, then open it again."))?;
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::settings::{catalogue, preset};

    fn filled() -> RunForm {
        let yaml = catalogue().document(&preset("lora").unwrap(), "facts-8").text();
        RunForm { name: "facts-8".into(), dataset: "facts@3".into(), yaml, ..RunForm::default() }
    }

    #[test]
    fn settings_survive_the_way_through_the_form() {
        assert_eq!(filled().settings(catalogue()), (preset("lora").unwrap(), vec![]));
        assert_eq!(filled().dataset_and_number(), ("facts", Some(3)));
    }

    #[test]
    fn what_is_no_number_is_named_with_one_that_works() {
        let mut form = filled();
        form.set("lora_rank", "many".into());
        form.set("learning_rate", "fast".into());
        let problems = form.new_run(catalogue()).unwrap_err();
        let said: Vec<_> = problems.iter().map(|p| (p.field.as_str(), p.suggestion.as_deref())).collect();
        assert_eq!(said, [("learning_rate", Some("2e-4")), ("lora_rank", Some("16"))]);
        assert_eq!(problems[1].sentence, "“many” cannot be used. LoRA rank must be a whole number between 1 and 256.");
    }

    #[test]
    fn a_field_that_is_posted_by_itself_wins_over_the_text_and_leaves_the_rest_of_it() {
        let yaml = "# mine\nlora_rank: 8   # small\nseed: 7\n".to_owned();
        let settings = BTreeMap::from([("lora_rank".to_owned(), "32".to_owned()), ("packing".to_owned(), String::new())]);
        let form = RunForm { yaml, settings, ..filled() };
        assert_eq!(form.document().text(), "# mine\nlora_rank: 32   # small\nseed: 7\n");
        assert_eq!(form.get("lora_rank"), "32");
        let (settings, problems) = form.settings(catalogue());
        assert_eq!((settings.lora_rank(), settings.seed(), problems), (32, 7, vec![]));
    }

    #[test]
    fn what_the_machines_are_asked_for_survives_the_way_through_the_form_and_an_older_form_asks_for_nothing() {
        let typed = RunForm { nodes: "2".into(), gpus: "4".into(), gpu_product: "NVIDIA-H200".into(), memory_gb: "64".into(), ..filled() };
        let new = typed.new_run(catalogue()).unwrap();
        assert_eq!((new.nodes, new.resources.gpus, new.resources.memory), (2, Some(4), Some(64_000_000_000)));
        let again = RunForm::of(&new, typed.yaml.clone());
        assert_eq!((again.resources(), again.node_count()), (Ok(new.resources), Ok(2)));
        assert!(filled().new_run(catalogue()).unwrap().resources.is_default());
        let wrong = RunForm { nodes: "65".into(), gpus: "all".into(), ..filled() }.new_run(catalogue()).unwrap_err();
        assert_eq!(wrong.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(), ["nodes", "gpus"]);
    }

    #[test]
    fn a_posted_form_is_read_whole_and_its_single_settings_win() {
        let mut form = RunForm { submission: "mine".into(), ..RunForm::default() };
        let posted = [("form[lora_rank]", "32"), ("form[name]", "facts-9"), ("tenant", "acme"), ("form[yaml]", "lora_rank: 8\nseed: 7\n")];
        let posted = posted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        form.take(&[&posted[..], &[("form[submission]".to_owned(), "theirs".to_owned())]].concat());
        assert_eq!((form.document().text().as_str(), form.submission.as_str()), ("lora_rank: 32\nseed: 7\n", "mine"));
        assert_eq!(form.file_name(), "facts-9.yaml");
        for name in ["", "../../etc/passwd", "a\"b", "x\r\ny"] {
            assert_eq!(RunForm { name: name.into(), ..RunForm::default() }.file_name(), "run.yaml", "{name}");
        }
    }

    #[test]
    fn a_file_is_read_as_people_save_them_or_refused_in_words() {
        assert_eq!(file_text("\u{feff}seed: 7\r\n# ä\r\n".as_bytes()).as_deref(), Ok("seed: 7\n# ä\n"));
        for bad in [&b"\xff\xfes\0e\0"[..], b"seed: 7\0", &[b'#'; FILE_BYTES + 1]] {
            assert_eq!(file_text(bad).unwrap_err().field, "file");
        }
    }

    #[test]
    fn a_key_that_is_not_the_persons_is_refused_however_it_comes() {
        for key in ["output_dir", "lora_rnk"] {
            let by_field = RunForm { settings: BTreeMap::from([(key.to_owned(), "1".to_owned())]), ..filled() };
            let by_text = RunForm { yaml: format!("{key}: 1\n"), ..filled() };
            for form in [by_field, by_text] {
                let problems = form.new_run(catalogue()).unwrap_err();
                assert!(problems.len() == 1 && problems[0].field == key && problems[0].sentence.contains(key), "{problems:?}");
            }
        }
    }
}
