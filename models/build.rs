//! Copies the engine's files for the models, but for their tests, with three changes: atomics are the models' own, a
//! thread that is dead (its stack is unwound) unlocks nothing, and at each place that `mutants.rs`
//! names there is a switch for a mistake.

use std::path::{Path, PathBuf};
use std::{env, fs};

include!("mutants.rs");

/// The engine's files, as they are.
const FILES: [&str; 19] = [
    "abi", "bell", "chair", "creds", "critical", "errno", "handle", "lines", "lock", "look", "map",
    "msg", "object", "path", "pidns", "sem", "shm", "sleeping", "ticket",
];

/// What a thread that is dead does not do while its stack is unwound.
const GIVE_BACK: [(&str, &str, &str); 3] = [
    ("lock.rs", "pub fn unlock(&self) {", "return;"),
    ("chair.rs", "fn forgive(self) {", "return;"),
    ("chair.rs", "pub fn pay(self) -> bool {", "return true;"),
];

/// This one asks /proc: the models have one of their own.
const OWNER: &str = "shm/owner.rs";

fn main() {
    let engine = Path::new("../crates/usysv/src");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=mutants.rs");
    println!("cargo::rerun-if-changed=owner.rs");
    println!("cargo::rerun-if-changed={}", engine.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut made = vec![false; MUTANTS.len()];
    let mut modules = String::new();
    for name in FILES {
        let (file, dir) = (format!("{name}.rs"), engine.join(name));
        let path = if dir.is_dir() {
            fs::create_dir_all(out.join(name)).expect("a directory for the copies");
            for entry in fs::read_dir(dir).expect("the engine's directory") {
                let part = entry.expect("an entry").file_name();
                let part = Path::new(name).join(part);
                copy(engine, &out, &part, &mut made);
            }
            out.join(name).join("mod.rs")
        } else {
            copy(engine, &out, Path::new(&file), &mut made);
            out.join(file)
        };
        modules += &format!(
            "#[allow(warnings, clippy::all, missing_docs)]\n#[path = {path:?}]\nmod {name};\n"
        );
    }
    fs::write(out.join("engine.rs"), modules).expect("the list of modules");
    for (mutant, made) in MUTANTS.iter().zip(made) {
        assert!(made, "mutant {:?}: no file {}", mutant.name, mutant.file);
    }
}

fn copy(from: &Path, to: &Path, file: &Path, made: &mut [bool]) {
    let from = match file == Path::new(OWNER) {
        true => PathBuf::from("owner.rs"),
        false => from.join(file),
    };
    let text = fs::read_to_string(from).expect("a file of the engine");
    let code = text.split("\n#[cfg(test)]\nmod tests").next();
    let code = code.unwrap_or(&text);
    let mut text = code.replace("core::sync::atomic", "crate::atomic");
    for (of, gives_back, dead) in GIVE_BACK {
        if file == Path::new(of) {
            assert!(
                text.matches(gives_back).count() == 1,
                "where is {gives_back}?"
            );
            let unless_dead = format!("{gives_back} if std::thread::panicking() {{ {dead} }}");
            text = text.replace(gives_back, &unless_dead);
        }
    }
    for (number, mutant) in MUTANTS.iter().enumerate() {
        if Path::new(mutant.file) == file {
            text = switch(&text, number, mutant);
            made[number] = true;
        }
    }
    fs::write(to.join(file), text).expect("a copy");
}

/// Puts a mistake beside the right code, which has to be there exactly once.
fn switch(text: &str, number: usize, mutant: &Mutant) -> String {
    let (before, rest) = mutant.place.split_once('[').expect("a [ in the place");
    let (right, after) = rest.rsplit_once(']').expect("a ] in the place");
    let place = format!("{before}{right}{after}");
    let found = text.matches(&place).count();
    assert!(
        found == 1,
        "mutant {:?}: {} has its place {found} times, not once. Whoever changed it: what is the \
         same mistake now?\n{place}",
        mutant.name,
        mutant.file
    );
    let wrong = mutant.wrong;
    let both = format!("if crate::mutant({number}) {{ {wrong} }} else {{ {right} }}");
    let both = match right.ends_with([';', '}']) {
        true => format!("{before}{{ {both} }}{after}"),
        false => format!("{before}({both}){after}"),
    };
    text.replace(&place, &both)
}
