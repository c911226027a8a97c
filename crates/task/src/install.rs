//! The program copies itself to where the containers of a pod share it, so that an image with nothing else in it can bring it.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Copies this program to `to`, executable for everybody: complete or not at all. Returns the exit code.
pub fn install(to: &Path) -> i32 {
    let copied = std::env::current_exe().and_then(|program| copy(&program, to));
    match copied {
        Ok(()) => crate::SUCCEEDED,
        Err(e) => {
            eprintln!("atelier task: the program cannot be copied to {}: {e}", to.display());
            crate::FAILED
        }
    }
}

fn copy(program: &Path, to: &Path) -> io::Result<()> {
    let beside = PathBuf::from(format!("{}.new", to.display()));
    std::fs::copy(program, &beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(&beside, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_there_whole_and_executable_and_replaces_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("atelier");
        std::fs::write(&to, "old").unwrap();
        assert_eq!(install(&to), crate::SUCCEEDED);
        let me = std::fs::metadata(std::env::current_exe().unwrap()).unwrap().len();
        let copied = std::fs::metadata(&to).unwrap();
        assert_eq!((copied.len(), copied.permissions().mode() & 0o777), (me, 0o755));
        assert_eq!(install(&folder.path().join("nowhere/atelier")), crate::FAILED);
    }
}
