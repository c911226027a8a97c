//! The files of a version to take away, and taking the data itself away: deleting what nothing uses, erasing the rows of what was used.
//! Links and plain forms: all of it works without scripts.

use crate::{
    api::datasets::{DatasetPage, DeleteDataset, EraseDataset},
    links,
    ui::{Icon, Off, ProblemSummary, form::error_of, number::some},
};
use domain::dataset::{DatasetFile, DatasetVersion, VersionState};
use leptos::prelude::*;

/// In the side column of the report.
#[component]
pub fn Downloads(version: DatasetVersion) -> impl IntoView {
    let v = version;
    let files: Vec<DatasetFile> = DatasetFile::ALL.into_iter().filter(|f| v.has(*f)).collect();
    if files.is_empty() {
        return ().into_any();
    }
    view! {
        <section class="section" aria-labelledby="files">
            <header><h2 id="files">"Download"</h2></header>
            <div class="lines">
                {files.into_iter().map(|file| view! {
                    // `external`: the bytes are no page of ours.
                    <div class="item"><a class="title" href=links::dataset_file(&v.tenant, &v.dataset_name, v.number, file) rel="external" download="">{file.label()}</a></div>
                }).collect_view()}
            </div>
        </section>
    }
    .into_any()
}

/// Below the list of versions. Each action is behind a fold, so that no single click does it.
#[component]
pub fn Removal(page: DatasetPage, delete: ServerAction<DeleteDataset>, erase: ServerAction<EraseDataset>) -> impl IntoView {
    let v = page.version;
    let called = format!("version {}", v.number);
    let used = page.runs_total;
    let versions = page.versions_total;
    let name = v.dataset_name.to_string();
    let hidden = {
        let (tenant, name) = (v.tenant.to_string(), name.clone());
        move |number: u32| {
            view! {
                <input type="hidden" name="tenant" value=tenant.clone()/>
                <input type="hidden" name="name" value=name.clone()/>
                <input type="hidden" name="number" value=number.to_string()/>
            }
        }
    };
    let number = v.number;
    let (delete_one, erase_one, delete_all) =
        (format!("Delete {called} for good"), format!("Erase the rows of {called} for good"), format!("Delete {name} for good"));
    let (hidden_one, hidden_all, hidden_erase) = (hidden(number), hidden(0), hidden(number));
    let actions = match page.delete_refused {
        Some(why) => view! { <p><Off class="sm" label="Delete" why/></p> }.into_any(),
        None => view! {
            {(used == 0).then(|| view! {
                <details class="fold-more">
                    <summary>{format!("Delete {called}")}</summary>
                    <ActionForm action=delete attr:class="stack">
                        {hidden_one}
                        <p>"This permanently deletes the file, its report and its documentation. No run has used it. The audit log keeps a record with its digest."</p>
                        <p><button type="submit" class="btn danger" aria-busy=move || delete.pending().get().then_some("true")><Icon name="x"/>{delete_one}</button></p>
                    </ActionForm>
                </details>
            })}
            {(used > 0 && v.erased_at.is_none() && v.state != VersionState::Uploading).then(|| view! {
                <details class="fold-more">
                    <summary>{format!("Erase the rows of {called}")}</summary>
                    <ActionForm action=erase attr:class="stack">
                        {hidden_erase}
                        <p>{format!("It is used by {}, so it cannot be deleted. Its rows can be erased: the file and both sides of the split are permanently deleted; report, documentation and digest stay, so that models still show where they come from. Evaluations keep their held-out questions.", some(used, "run", "runs"))}</p>
                        <p><button type="submit" class="btn danger" aria-busy=move || erase.pending().get().then_some("true")><Icon name="x"/>{erase_one}</button></p>
                    </ActionForm>
                </details>
            })}
            <details class="fold-more">
                <summary>{format!("Delete the dataset {name}")}</summary>
                <ActionForm action=delete attr:class="stack">
                    {hidden_all}
                    <p>{format!("This permanently deletes all {}. It is refused while a run uses any of them.", some(versions, "version", "versions"))}</p>
                    <p><button type="submit" class="btn danger" aria-busy=move || delete.pending().get().then_some("true")><Icon name="x"/>{delete_all}</button></p>
                </ActionForm>
            </details>
        }
        .into_any(),
    };
    view! {
        <section class="section narrow" aria-labelledby="remove">
            <header><h2 id="remove">"Delete"</h2></header>
            <ProblemSummary error=error_of(delete)/>
            <ProblemSummary error=error_of(erase)/>
            {actions}
        </section>
    }
}
