//! Secrets of tenants, as files that only the portal's user reads: `.secrets/{tenant}/{name}` beside the task folders. A task gets a copy
//! of those that it refers to, in its own folder, when it starts; the copy goes with the folder.

use super::{because, folder};
use crate::{Error, PendingCause, SecretRef};
use domain::name::Name;
use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

fn file_of(root: &Path, tenant: &Name, name: &str) -> Result<PathBuf, Error> {
    if !crate::is_task_name(name) {
        return Err(Error::BadName(name.chars().take(80).collect()));
    }
    Ok(root.join(".secrets").join(tenant.as_str()).join(name))
}

pub fn put(root: &Path, tenant: &Name, name: &str, secret: &str) -> Result<(), Error> {
    let path = file_of(root, tenant, name)?;
    let write = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap_or(root))?;
        folder::write_atomically(&path, secret.as_bytes())
    };
    write().map_err(because(format!("keeping the secret {name}")))
}

pub fn remove(root: &Path, tenant: &Name, name: &str) -> Result<(), Error> {
    match std::fs::remove_file(file_of(root, tenant, name)?) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(because(format!("forgetting the secret {name}"))(e)),
        _ => Ok(()),
    }
}

/// All of a tenant.
pub fn remove_all(root: &Path, tenant: &Name) -> Result<(), Error> {
    match std::fs::remove_dir_all(root.join(".secrets").join(tenant.as_str())) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(because(format!("forgetting the secrets of {tenant}"))(e)),
        _ => Ok(()),
    }
}

/// The first that is not there.
pub fn missing(root: &Path, tenant: &Name, wanted: &[SecretRef]) -> Result<Option<PendingCause>, Error> {
    for secret in wanted {
        if !crate::is_task_name(&secret.file) {
            return Err(Error::BadName(secret.file.chars().take(80).collect()));
        }
        if !file_of(root, tenant, &secret.name)?.exists() {
            return Ok(Some(PendingCause::Secret { secret: secret.name.clone() }));
        }
    }
    Ok(None)
}

/// Copies them into a task's folder. Only under the lock, before the task starts.
pub fn hand_over(root: &Path, tenant: &Name, wanted: &[SecretRef], to: &Path) -> Result<(), Error> {
    for secret in wanted {
        let path = file_of(root, tenant, &secret.name)?;
        let copy = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(to)?;
            folder::write_atomically(&to.join(&secret.file), &std::fs::read(&path)?)
        };
        copy().map_err(because(format!("handing over the secret {}", secret.name)))?;
    }
    Ok(())
}
