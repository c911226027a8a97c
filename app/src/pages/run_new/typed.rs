//! What the form holds now, and what is wrong with it; known to every part of the page.

use super::not_a_name;
use crate::api::{
    run_form::RunForm,
    runs::{DataChoice, Draft, first_name, free_run_name},
};
use domain::{
    name::Name,
    problem::FieldProblem,
    settings::{Catalogue, Entry, RunSettings},
    supply::{Supply, Times},
};
use leptos::{prelude::*, task::spawn_local};
use std::collections::BTreeMap;

#[derive(Clone, Copy)]
pub(super) struct Typed {
    pub form: RwSignal<RunForm>,
    /// As it was sent last.
    pub sent: RwSignal<RunForm>,
    /// What this page knows of settings: those of the form at first, all of them once they were asked for.
    pub catalogue: RwSignal<Catalogue>,
    /// The settings by their keys, as typed.
    values: Memo<BTreeMap<String, String>>,
    read: Memo<(RunSettings, Vec<FieldProblem>)>,
    pub problems: Signal<Vec<FieldProblem>>,
    /// What may be and can hardly be meant; nothing is held up by it.
    pub doubts: Signal<Vec<FieldProblem>>,
    datasets: StoredValue<Vec<DataChoice>>,
    /// What there is to ask the machines for.
    supply: StoredValue<Option<Supply>>,
    tenant: StoredValue<String>,
    /// Somebody has named the run.
    named: StoredValue<bool>,
    /// The run that this one is a copy of, and its settings.
    pub parent: StoredValue<Option<(String, RunSettings)>>,
}

impl Typed {
    /// `refused` are the fields that the server named when it was asked to start the run.
    pub fn new(tenant: String, draft: &Draft, form: RunForm, refused: Signal<Vec<FieldProblem>>) -> Self {
        let form = RwSignal::new(form);
        let sent = RwSignal::new(form.get_untracked());
        let catalogue = RwSignal::new(draft.catalogue.clone());
        let values = Memo::new(move |_| {
            let pairs = form.with(|f| f.document().pairs());
            pairs.into_iter().rev().map(|p| (p.key, p.value.unwrap_or_default())).collect::<BTreeMap<_, _>>()
        });
        let read = Memo::new(move |_| catalogue.with(|c| form.with(|f| f.settings(c))));
        let bases = StoredValue::new(draft.bases.clone());
        let datasets = StoredValue::new(draft.datasets.clone());
        let supply = StoredValue::new(draft.supply.clone());
        // Judged while typing with the same rules as on the server; what only the server knows (a taken name) is added to it.
        let problems = Signal::derive(move || {
            let context = bases.with_value(|b| form.with(|f| b.iter().find(|b| b.name == f.base_model).map_or(0, |b| b.context)));
            let mut all = read.with(|(settings, problems)| {
                let mut all = problems.clone();
                all.extend(catalogue.with(|c| c.check(settings, context)));
                all
            });
            form.with(|form| {
                all.extend(["name", "model_name"].iter().filter_map(|key| not_a_name(key, form.get(key).trim())));
                all.extend(supply.with_value(|supply| wrong_resources(form, supply.as_ref())));
                let as_sent = |key: &str| sent.with(|sent| sent.get(key) == form.get(key));
                for problem in refused.get().into_iter().filter(|p| as_sent(&p.field)) {
                    if !all.iter().any(|p| p.field == problem.field) && RunForm::is_typed(&problem.field) {
                        all.push(problem);
                    }
                }
            });
            all
        });
        let doubts = Signal::derive(move || {
            let rows = form.with(|f| datasets.with_value(|all| all.iter().find(|d| d.is(&f.dataset)).map(|d| d.train_rows)));
            let processes = form.with(|form| supply.with_value(|supply| processes(form, supply.as_ref())));
            read.with(|(settings, _)| settings.doubts(rows.map_or(0, |rows| settings.steps_over(rows, processes))))
        });
        let parent = StoredValue::new(draft.parent.clone().zip(draft.parent_settings.clone()));
        let (tenant, named) = (StoredValue::new(tenant), StoredValue::new(false));
        Self { form, sent, catalogue, values, read, problems, doubts, datasets, supply, tenant, named, parent }
    }

    /// What a field holds.
    pub fn get(self, key: &str) -> String {
        if RunForm::OURS.contains(&key) {
            self.form.with(|f| f.get(key))
        } else {
            self.values.with(|v| v.get(key).cloned().unwrap_or_default())
        }
    }

    /// What can be read of the settings.
    pub fn settings<T>(self, of: impl FnOnce(&RunSettings) -> T) -> T {
        self.read.with(|(settings, _)| of(settings))
    }

    pub fn set(self, key: &str, value: String) {
        if self.form.with_untracked(|f| f.get(key)) != value {
            self.form.update(|f| f.set(key, value));
            if key == "name" {
                self.named.set_value(true);
            }
        }
    }

    /// The trainer's default again.
    pub fn reset(self, key: &str) {
        self.form.update(|f| f.remove(key));
    }

    /// Has an effect with the method that is chosen.
    pub fn applies(self, entry: &Entry) -> bool {
        self.settings(|s| entry.applies(s.finetuning_type().word()))
    }

    /// Holds something else than the trainer's default.
    pub fn differs(self, entry: &Entry) -> bool {
        let raw = self.get(&entry.key);
        !raw.is_empty() && entry.kind.read(&raw) != entry.default
    }

    pub fn is_wrong(self, key: &str) -> bool {
        self.problems.with(|all| all.iter().any(|p| p.field == key))
    }

    /// How many share the rows, as far as that can be read.
    pub fn processes(self) -> u32 {
        self.form.with(|form| self.supply.with_value(|supply| processes(form, supply.as_ref())))
    }

    /// The dataset that is chosen.
    pub fn data(self) -> Option<DataChoice> {
        let key = self.form.with(|f| f.dataset.clone());
        self.datasets.with_value(|all| all.iter().find(|d| d.is(&key)).cloned())
    }

    /// A dataset that was offered or found.
    pub fn dataset(self, key: &str) -> Option<DataChoice> {
        self.datasets.with_value(|all| all.iter().find(|d| d.is(key)).cloned())
    }

    /// More datasets that can be chosen.
    pub fn know(self, found: Vec<DataChoice>) {
        self.datasets.update_value(|all| {
            let new: Vec<_> = found.into_iter().filter(|d| all.iter().all(|known| known.key() != d.key())).collect();
            all.extend(new);
        });
    }

    /// Takes a choice. Names that nobody has changed follow the dataset after which they were made.
    pub fn choose(self, key: &str, value: String) {
        let of = |key: &str| self.datasets.with_value(|all| all.iter().find(|d| d.is(key)).cloned());
        if self.form.with_untracked(|f| f.get(key)) == value {
            return;
        }
        let mut renamed = None;
        self.form.update(|form| {
            if key == "dataset"
                && let (Some(before), Some(now)) = (of(&form.dataset), of(&value))
                && follow(form, self.named.get_value(), &before.name, &now.name)
            {
                renamed = Some(now.name);
            }
            form.set(key, value);
        });
        if let Some(dataset) = renamed {
            self.look_for_name(dataset);
        }
    }

    /// The first name on this dataset becomes one that is free, unless another one was chosen meanwhile.
    fn look_for_name(self, dataset: String) {
        let (tenant, first) = (self.tenant.get_value(), first_name(&dataset));
        spawn_local(async move {
            // Without an answer the server says at the start of the run that the name is taken, and which one is free.
            let Ok(free) = free_run_name(tenant, dataset).await else { return };
            let untouched = self.form.try_with_untracked(|form| form.name == first && free != first);
            if untouched == Some(true) && self.named.try_get_value() == Some(false) {
                self.form.try_update(|form| form.name = free);
            }
        });
    }
}

/// As the server judges it. Where there is nothing to ask for, the form has no such fields.
fn wrong_resources(form: &RunForm, supply: Option<&Supply>) -> Vec<FieldProblem> {
    let Some(supply) = supply else { return Vec::new() };
    match (form.node_count(), form.resources()) {
        (Ok(nodes), Ok(request)) => supply.check(&request, Times::Nodes(nodes)),
        (nodes, request) => nodes.err().into_iter().chain(request.err().into_iter().flatten()).collect(),
    }
}

fn processes(form: &RunForm, supply: Option<&Supply>) -> u32 {
    let gpus = supply.zip(form.resources().ok()).map_or(1, |(supply, request)| supply.gpus(&request));
    form.node_count().unwrap_or(1).saturating_mul(gpus.max(1))
}

/// Whether the run is named after the dataset now: then it has the first name on it.
fn follow(form: &mut RunForm, named: bool, before: &str, now: &str) -> bool {
    if form.model_name == before {
        now.clone_into(&mut form.model_name);
    }
    let follows = !named && Name::is_numbered(&form.name, before);
    if follows {
        form.name = first_name(now);
    }
    follows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_told_while_it_is_typed_and_gpus_share_the_rows() {
        use domain::compute::Compute;
        let two = Supply { quota: Compute { gpus: Some(2), ..Compute::default() }, ..Supply::default() };
        let typed = |nodes: &str, gpus: &str| RunForm { nodes: nodes.into(), gpus: gpus.into(), ..RunForm::default() };
        let fields = |form: RunForm| wrong_resources(&form, Some(&two)).into_iter().map(|p| p.field).collect::<Vec<_>>();
        assert_eq!(fields(typed("", "")), [""; 0]);
        assert_eq!(fields(typed("2", "1")), [""; 0]);
        assert_eq!(fields(typed("2", "2")), ["gpus"]);
        assert_eq!(fields(typed("two", "all")), ["nodes", "gpus"]);
        assert_eq!(wrong_resources(&typed("2", "all"), None), [], "one machine");
        assert_eq!([typed("2", "4"), typed("", "0"), typed("3", "")].map(|form| processes(&form, Some(&two))), [8, 1, 3]);
    }

    #[test]
    fn names_follow_the_dataset_until_somebody_changes_them() {
        let mut form = RunForm { name: "facts-4".into(), model_name: "facts".into(), ..RunForm::default() };
        assert!(follow(&mut form, false, "facts", "tickets"));
        assert_eq!((form.name.as_str(), form.model_name.as_str()), ("tickets-1", "tickets"));
        form.model_name = "assistant".into();
        assert!(follow(&mut form, false, "tickets", "facts"));
        assert_eq!((form.name.as_str(), form.model_name.as_str()), ("facts-1", "assistant"));
        assert!(!follow(&mut form, true, "facts", "tickets"), "somebody wrote it");
        form.name = "better-facts-2".into();
        assert!(!follow(&mut form, false, "facts", "tickets"), "a copy of a run that was not called after its dataset");
        assert_eq!(form.name, "better-facts-2");
    }
}
