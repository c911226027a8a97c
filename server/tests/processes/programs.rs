//! What the portal starts: the stand-ins, or the real programs with their starts counted.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A folder with `python` and `llamafactory-cli`, as an environment has them in `bin`.
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Quick doubles; `pace` = seconds a training step takes.
    pub fn standins(folder: &Path, pace: f64) -> Self {
        let me = Self { folder: folder.to_owned() };
        fs::create_dir_all(folder).unwrap();
        for name in ["python", "llamafactory-cli"] {
            me.put(name, include_str!("standins.py"));
        }
        me.pace(pace);
        me
    }

    /// Seconds a training step takes from now on, in what is started next.
    pub fn pace(&self, pace: f64) {
        fs::write(self.folder.join("pace"), pace.to_string()).unwrap();
    }

    /// Lets the stand-in's adapter hold so many zeros of four bytes: copying and hashing them takes the publishing its time.
    pub fn with_weights(self, count: u64) -> Self {
        fs::write(self.folder.join("weights"), count.to_string()).unwrap();
        self
    }

    /// The real environment of this Python, behind two scripts that note every start.
    pub fn real(folder: &Path, python: &Path) -> Self {
        let me = Self { folder: folder.to_owned() };
        fs::create_dir_all(folder).unwrap();
        let starts = folder.join("starts");
        let script = |real: &Path, noted: &str| format!("#!/bin/sh\n{noted}\nexec '{}' \"$@\"\n", real.display());
        let note = |what: &str| format!("echo \"{what} $$\" >> '{}'", starts.display());
        me.put("llamafactory-cli", &script(&python.with_file_name("llamafactory-cli"), &note("train")));
        me.put("python", &script(python, &format!("case \"$*\" in *evaluate.py*) {};; esac", note("evaluate"))));
        me
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn python(&self) -> PathBuf {
        self.folder.join("python")
    }

    /// Calls that began with `counted`: when the model server had each of them, in seconds, and what it said behind that word.
    pub fn served(&self) -> Vec<(f64, String)> {
        let noted = fs::read_to_string(self.folder.join("served")).unwrap_or_default();
        let line = |line: &str| line.split_once(' ').map(|(at, said)| (at.parse().unwrap(), said.to_owned()));
        noted.lines().filter_map(line).collect()
    }

    /// How often `train`, `evaluate` or `serve` was started.
    pub fn starts(&self, what: &str) -> usize {
        let noted = fs::read_to_string(self.folder.join("starts")).unwrap_or_default();
        noted.lines().filter(|line| line.split(' ').next() == Some(what)).count()
    }
}
