//! Where things lie: data, database, store, and the Pythons of trainer and model server.

use super::{EngineArgs, Refused, StoreArgs, StoreSettings};
use crate::secret_file;
use clap::Args;
use domain::environment::{self, PythonEnvironment};
use platform::sealing::TokenKey;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// For every command.
#[derive(Args, Clone, Debug)]
pub struct Locations {
    /// Folder of everything that the portal keeps, unless told otherwise below.
    #[arg(long = "data", env = "ATELIER_DATA", default_value = "./data", global = true)]
    pub data: PathBuf,
    /// `sqlite:PATH` or `postgres://...`; default: atelier.db in the data folder.
    #[arg(long, env = "ATELIER_DATABASE_URL", global = true, hide_env_values = true)]
    pub database_url: Option<String>,
    /// File with the key that encrypts what the issuer gives us for a session: 64 hexadecimal digits, the same file for every replica
    /// (`openssl rand -hex 32` makes one); default: token.key in the data folder, made at the first start.
    #[arg(long, env = "ATELIER_TOKEN_KEY", global = true)]
    pub token_key: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Python of the trainer's environment (LLaMA-Factory); default: the one that `make demo` has installed.
    #[arg(long, env = "ATELIER_TRAINER_PYTHON", global = true)]
    pub trainer_python: Option<PathBuf>,
    /// Python of the model server's environment (vLLM); default: the one that `make demo` has installed.
    #[arg(long, env = "ATELIER_VLLM_PYTHON", global = true)]
    pub vllm_python: Option<PathBuf>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl Locations {
    /// The data folder with its parents, made if needed, as an absolute path: tasks run in other folders.
    pub fn data_folder(&self) -> Result<PathBuf, Refused> {
        std::fs::create_dir_all(&self.data)
            .and_then(|()| self.data.canonicalize())
            .map_err(|e| Refused(format!("The data folder {} cannot be used: {e}.", self.data.display())))
    }

    pub fn database_url(&self) -> Result<String, Refused> {
        match &self.database_url {
            Some(url) => Ok(url.clone()),
            None => Ok(format!("sqlite:{}", self.data_folder()?.join("atelier.db").display())),
        }
    }

    /// Where artefacts lie, and the portal's own key where that needs one.
    pub fn store(&self) -> Result<StoreSettings, Refused> {
        self.store.settle(|| Ok(self.data_folder()?.join("store")))
    }

    /// The key of the issuer's tokens. One that was named must be there: replicas that each made their own could not read each other's.
    pub fn token_key(&self) -> Result<TokenKey, Refused> {
        let (file, text) = match &self.token_key {
            Some(file) => (file.clone(), std::fs::read_to_string(file).map_err(anyhow::Error::from)),
            None => {
                let file = self.data_folder()?.join("token.key");
                let text = secret_file::read_or_make(&file, |random| format!("{}\n", hex::encode(random)));
                (file, text)
            }
        };
        let text = text.map_err(|e| Refused(format!("The key of the issuer's tokens cannot be read from {}: {e:#}.", file.display())))?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
            Refused(format!(
                "{} holds no key: 64 hexadecimal digits are wanted. `openssl rand -hex 32 > FILE` makes one; give every replica the same file.",
                file.display()
            ))
        })?;
        Ok(TokenKey::new(key))
    }

    /// What every task gets in its environment.
    pub fn task_env(&self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for environment in [&environment::TRAINER, &environment::MODEL_SERVER] {
            if let Some(python) = self.python(environment) {
                env.insert(environment.variable.to_owned(), python.path().display().to_string());
            }
        }
        env
    }

    /// The Python of this environment: the one that was named, or the one that `make demo` has put into the cache folder.
    pub fn python(&self, environment: &PythonEnvironment) -> Option<Python> {
        let cache = environment::cache(std::env::var_os("ATELIER_CACHE"), std::env::var_os("HOME"));
        self.python_in(cache.as_deref(), environment)
    }

    fn python_in(&self, cache: Option<&Path>, environment: &PythonEnvironment) -> Option<Python> {
        let named = if *environment == environment::TRAINER { &self.trainer_python } else { &self.vllm_python };
        if let Some(python) = named {
            return Some(Python::Named(absolute(python)));
        }
        let folder = absolute(cache?).join(environment.folder());
        let python = folder.join(environment::PYTHON);
        (folder.join(environment::WHOLE).exists() && python.exists()).then_some(Python::Installed(python))
    }
}

/// A Python, and why this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Python {
    /// By a flag or a variable.
    Named(PathBuf),
    /// Found where `make demo` installs.
    Installed(PathBuf),
}

impl Python {
    pub fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Installed(path) => path,
        }
    }
}

impl std::fmt::Display for Python {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(path) => write!(f, "{}", path.display()),
            Self::Installed(path) => write!(f, "{} (installed by make demo)", path.display()),
        }
    }
}

/// Not `canonicalize`: the Python of an environment is a link, and works only under its own name.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        locations: Locations,
    }

    #[test]
    fn the_key_of_tokens_is_made_once_in_the_data_folder_and_one_that_is_named_must_be_there() {
        let data = tempfile::tempdir().unwrap();
        let locations = |flags: &[&str]| {
            let data = data.path().display().to_string();
            Line::try_parse_from([&["atelier", "--data", &data], flags].concat()).unwrap().locations
        };
        locations(&[]).token_key().unwrap();
        let made = std::fs::read_to_string(data.path().join("token.key")).unwrap();
        locations(&[]).token_key().unwrap();
        assert_eq!((made.trim().len(), &std::fs::read_to_string(data.path().join("token.key")).unwrap()), (64, &made));
        let named = data.path().join("other").display().to_string();
        assert!(locations(&["--token-key", &named]).token_key().unwrap_err().0.contains("cannot be read"));
        std::fs::write(&named, "short").unwrap();
        let refused = locations(&["--token-key", &named]).token_key().unwrap_err();
        assert!(refused.0.contains("openssl rand -hex 32") && !refused.0.contains("short"), "{refused}");
    }

    #[test]
    fn a_python_that_was_named_goes_before_the_installed_one_and_a_broken_off_installation_is_none() {
        let locations = |flags: &[&str]| Line::try_parse_from([&["atelier"], flags].concat()).unwrap().locations;
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join(environment::TRAINER.folder());
        let python = folder.join(environment::PYTHON);
        std::fs::create_dir_all(python.parent().unwrap()).unwrap();
        std::fs::write(&python, "").unwrap();
        // Not through the environment: a machine on which tests run may name both.
        let unnamed = Locations { trainer_python: None, vllm_python: None, ..locations(&[]) };
        assert_eq!(unnamed.python_in(Some(cache.path()), &environment::TRAINER), None);
        std::fs::write(folder.join(environment::WHOLE), "").unwrap();
        assert_eq!(unnamed.python_in(Some(cache.path()), &environment::TRAINER), Some(Python::Installed(python)));
        assert_eq!(unnamed.python_in(Some(cache.path()), &environment::MODEL_SERVER), None);
        assert_eq!(unnamed.python_in(None, &environment::TRAINER), None);
        let named = locations(&["--trainer-python", "/opt/t/bin/python"]);
        assert_eq!(named.python_in(Some(cache.path()), &environment::TRAINER), Some(Python::Named("/opt/t/bin/python".into())));
    }
}
