//! Where things lie: data, database, store, and the Pythons of trainer and model server.

use super::Refused;
use clap::Args;
use domain::{
    environment::{self, PythonEnvironment},
    store_location::StoreLocation,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// For every command.
#[derive(Args, Clone, Debug)]
pub struct Places {
    /// Folder of everything that the portal keeps, unless told otherwise below.
    #[arg(long = "data", env = "ATELIER_DATA", default_value = "./data", global = true)]
    pub data: PathBuf,
    /// `sqlite:PATH` or `postgres://...`; default: atelier.db in the data folder.
    #[arg(long, env = "ATELIER_DATABASE_URL", global = true, hide_env_values = true)]
    pub database_url: Option<String>,
    /// Folder of datasets, weights and logs; default: store in the data folder.
    #[arg(long, env = "ATELIER_STORE", global = true)]
    pub store: Option<PathBuf>,
    /// Python of the trainer's environment (LLaMA-Factory); default: the one that `make demo` has installed.
    #[arg(long, env = "ATELIER_TRAINER_PYTHON", global = true)]
    pub trainer_python: Option<PathBuf>,
    /// Python of the model server's environment (vLLM); default: the one that `make demo` has installed.
    #[arg(long, env = "ATELIER_VLLM_PYTHON", global = true)]
    pub vllm_python: Option<PathBuf>,
}

impl Places {
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

    pub fn store(&self) -> Result<StoreLocation, Refused> {
        let folder = match &self.store {
            Some(folder) => folder.clone(),
            None => self.data_folder()?.join("store"),
        };
        std::fs::create_dir_all(&folder).map_err(|e| Refused(format!("The store {} cannot be made: {e}.", folder.display())))?;
        let root = folder.canonicalize().map_err(|e| Refused(format!("The store {} cannot be read: {e}.", folder.display())))?;
        Ok(StoreLocation::Local { root: root.display().to_string() })
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
        places: Places,
    }

    #[test]
    fn a_python_that_was_named_goes_before_the_installed_one_and_a_broken_off_installation_is_none() {
        let places = |flags: &[&str]| Line::try_parse_from([&["atelier"], flags].concat()).unwrap().places;
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join(environment::TRAINER.folder());
        let python = folder.join(environment::PYTHON);
        std::fs::create_dir_all(python.parent().unwrap()).unwrap();
        std::fs::write(&python, "").unwrap();
        // Not through the environment: a machine on which tests run may name both.
        let unnamed = Places { trainer_python: None, vllm_python: None, ..places(&[]) };
        assert_eq!(unnamed.python_in(Some(cache.path()), &environment::TRAINER), None);
        std::fs::write(folder.join(environment::WHOLE), "").unwrap();
        assert_eq!(unnamed.python_in(Some(cache.path()), &environment::TRAINER), Some(Python::Installed(python)));
        assert_eq!(unnamed.python_in(Some(cache.path()), &environment::MODEL_SERVER), None);
        assert_eq!(unnamed.python_in(None, &environment::TRAINER), None);
        let named = places(&["--trainer-python", "/opt/t/bin/python"]);
        assert_eq!(named.python_in(Some(cache.path()), &environment::TRAINER), Some(Python::Named("/opt/t/bin/python".into())));
    }
}
