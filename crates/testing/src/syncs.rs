//! What a test asks the kernel to make lasting, and in which order. One test of this program runs again as a process of its own
//! under a small library that stands before `fsync`, `fdatasync` and `rename` and writes each down before it happens.
//!
//! A power cut cannot be had in a test; that the calls are made, and in this order, is what decides about one.

use std::{path::PathBuf, process::Command};

const RECORDER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note(const char *what, const char *path) {
    char line[8192];
    int length = snprintf(line, sizeof line, "%s %s\n", what, path);
    int file = open(getenv("RECORDED_SYNCS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (file >= 0 && write(file, line, length) == length) close(file);
}
static void note_file(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0) { path[length] = 0; note("fsync", path); }
}
int fsync(int file) { note_file(file); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file); }
int fdatasync(int file) { note_file(file); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file); }
int rename(const char *from, const char *to) {
    note("rename", from);
    return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from, to);
}
"#;

/// `fsync PATH` and `rename FROM`, in order. `test` is the whole path of the test that asks; it does the work when it finds
/// `RECORDED_SYNCS` in its environment. `env` is given to it beside that.
///
/// # Panics
/// When there is no C compiler, or the test does not pass when it runs again.
pub fn of_test(test: &str, env: &[(&str, String)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (source, library): (PathBuf, PathBuf) = (folder.path().join("recorder.c"), folder.path().join("recorder.so"));
    std::fs::write(&source, RECORDER).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status().unwrap();
    assert!(built.success(), "the C compiler that links this program could not build the recorder");
    let said = folder.path().join("said");
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]).env("LD_PRELOAD", &library).env("RECORDED_SYNCS", &said);
    let out = again.envs(env.iter().map(|(key, value)| (*key, value))).output().unwrap();
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    std::fs::read_to_string(&said).unwrap().lines().map(str::to_owned).collect()
}
