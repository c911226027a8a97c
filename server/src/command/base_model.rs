//! `atelier base-model register`.

use super::said;
use clap::Subcommand;
use domain::base_model::BaseModelState;
use platform::{Platform, base_models::NewBaseModel};
use std::{path::PathBuf, process::ExitCode, time::Duration};

#[derive(Subcommand)]
pub enum BaseModelCommand {
    /// Registers a folder with config.json, weights and tokenizer; a running portal copies it into the store.
    Register {
        folder: PathBuf,
        /// Also the model's id at the gateway.
        #[arg(long)]
        name: String,
        /// SPDX id: `Apache-2.0`.
        #[arg(long)]
        licence: String,
        /// LLaMA-Factory's template; default: found from the model's chat template.
        #[arg(long)]
        template: Option<String>,
        /// Seconds to wait until it can be used.
        #[arg(long, default_value_t = 600)]
        wait: u64,
    },
}

pub async fn run(command: BaseModelCommand, platform: &Platform) -> anyhow::Result<ExitCode> {
    match command {
        BaseModelCommand::Register { folder, name, licence, template, wait } => {
            let folder = std::path::absolute(folder)?;
            let new = NewBaseModel { folder, name: name.clone(), licence, template };
            platform.base_models().register_as_system(new).await.map_err(said)?;
            let deadline = tokio::time::Instant::now() + Duration::from_secs(wait);
            loop {
                let model = platform.base_models().get(&name).await.map_err(said)?;
                match model.state {
                    BaseModelState::Ready => {
                        println!(
                            "{} can be used: {}, {} parameters, template {}.",
                            model.name, model.architecture, model.parameters, model.template
                        );
                        return Ok(ExitCode::SUCCESS);
                    }
                    BaseModelState::Broken => {
                        anyhow::bail!("{} cannot be used: {}", model.name, model.reason.map(|r| r.said()).unwrap_or_default())
                    }
                    BaseModelState::Registering if tokio::time::Instant::now() < deadline => {
                        tokio::time::sleep(Duration::from_millis(300)).await
                    }
                    BaseModelState::Registering => {
                        println!("{} is written down and waits for a running portal (`atelier serve`) to copy its files.", model.name);
                        return Ok(ExitCode::SUCCESS);
                    }
                }
            }
        }
    }
}
