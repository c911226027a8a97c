//! Base models: registered from a folder on the server, then usable by every tenant. What a folder must hold is in [`folder`];
//! copying and hashing is `jobs::base_model_files`'.

mod folder;

use crate::{
    Platform,
    access::{Caller, PlatformScope, shortened},
    change::Change,
    jobs::{self, Job},
    problem::Doing,
};
use domain::{
    audit::Detail,
    base_model::{BaseModel, BaseModelState},
    filter::BaseModelFilter,
    ids::BaseModelId,
    name::Name,
    page::{Cursor, Page},
    policy::{self, Action},
    problem::Problem,
    reason::base_model::BaseModelReason,
};
use std::path::PathBuf;

/// What an admin asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBaseModel {
    /// On the machine where the controllers run.
    pub folder: PathBuf,
    pub name: String,
    /// SPDX id where there is one; may be empty.
    pub licence: String,
    /// LLaMA-Factory's template; `None` = as the chat template suggests.
    pub template: Option<String>,
}

pub struct BaseModels<'a> {
    platform: &'a Platform,
}

impl Platform {
    pub fn base_models(&self) -> BaseModels<'_> {
        BaseModels { platform: self }
    }
}

impl BaseModels<'_> {
    /// By name; for members of any tenant, the auditor and the admin.
    pub async fn list(&self, caller: &Caller, filter: &BaseModelFilter, after: &Cursor) -> Result<Page<BaseModel>, Problem> {
        let role = caller.memberships.iter().map(|(_, role)| *role).max();
        if !policy::allows(role, caller.person.platform_role, Action::BaseModelRead) {
            return Err(Problem::not_found("This page"));
        }
        self.platform.store().base_models(filter, after).await.doing("reading the base models")
    }

    /// By id; none when there is no such base model any more.
    pub async fn by_id(&self, id: BaseModelId) -> Result<Option<BaseModel>, Problem> {
        self.platform.store().base_model(id).await.doing("reading the base model")
    }

    pub async fn get(&self, name: &str) -> Result<BaseModel, Problem> {
        let not_found = || Problem::not_found(format!("The base model “{}”", shortened(name)));
        let name: Name = name.parse().map_err(|_| not_found())?;
        self.platform.store().base_model_by_name(&name).await.doing("reading the base model")?.ok_or_else(not_found)
    }

    /// Reads the folder, says everything that is wrong with it, and has its files copied and hashed in the background.
    /// A broken model of the same name is tried again.
    pub async fn register(&self, scope: &PlatformScope, new: NewBaseModel) -> Result<BaseModel, Problem> {
        let permit = scope.permit(Action::PlatformBaseModelsWrite)?;
        let (platform, path, template) = (self.platform, new.folder.clone(), new.template.clone());
        let read = tokio::task::spawn_blocking(move || folder::read(&path, template.as_deref())).await;
        let read = read.map_err(|e| crate::problem::internal(&e, "reading the model’s folder"))?;
        let name = new.name.trim().parse::<Name>().map_err(|bad| bad.in_field("name"));
        let (found, name) = match (read, name) {
            (Ok(found), Ok(name)) => (found, name),
            (found, name) => return Err(Problem::invalid([found.err(), name.err()].into_iter().flatten().collect())),
        };
        let existing = platform.store().base_model_by_name(&name).await.doing("looking for the name")?;
        let mut model = BaseModel {
            id: BaseModelId::from_uuid(platform.fresh_uuid()),
            name,
            state: BaseModelState::Registering,
            reason: Some(BaseModelReason::Copying),
            architecture: found.architecture,
            parameters: found.parameters,
            context: found.context,
            template: found.template,
            licence: new.licence.trim().to_owned(),
            digest: String::new(),
            files: Vec::new(),
            created_at: platform.now(),
        };
        let taken = || Problem::field("name", format!("There is already a base model “{}”.", model.name));
        let mut tx = Change::begin(platform, &permit).await?;
        let written = match &existing {
            Some(old) if old.state == BaseModelState::Broken => {
                model.id = old.id;
                tx.retry_base_model(&model).await
            }
            Some(_) => return Err(taken()),
            None => tx.insert_base_model(&model).await,
        };
        if !written.doing("writing the base model")? {
            return Err(taken());
        }
        let folder = new.folder.display().to_string();
        let job = Job::RegisterBaseModel { model: model.id, folder: new.folder, files: found.files };
        jobs::enqueue(&mut tx, &job).await.doing("writing the job")?;
        let mut entry = tx.entry("base_model", model.id, &model.name);
        entry.detail = Detail::BaseModelAsked { architecture: model.architecture.clone(), folder };
        tx.commit(entry).await.doing("registering the base model")?;
        Ok(model)
    }

    /// For the command line on the server itself.
    pub async fn register_as_system(&self, new: NewBaseModel) -> Result<BaseModel, Problem> {
        self.register(&PlatformScope::command_line(), new).await
    }
}
