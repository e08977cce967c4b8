//! `usysv-conformance`: plays scenarios one by one, for people with strace and gdb at hand.

use std::process::ExitCode;
use usysv_conformance::compare::difference;
use usysv_conformance::programs;
use usysv_conformance::runner::{self, Power, Side};
use usysv_conformance::scenarios::{self, Scenario};

const USAGE: &str = "\
usage: usysv-conformance list            names of all scenarios
       usysv-conformance run NAME        play one here, in the present world, and print its transcript
       usysv-conformance compare NAME    play one on the kernel and on usysv, and print what differs
`run` uses the IPC namespace that it finds: try `unshare --ipc usysv-conformance run NAME`.
All of them, as tests: cargo test -p usysv-conformance";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["list"] => list(),
        ["run", name] => find(name).map(scenarios::play),
        ["compare", name] => find(name).and_then(compare),
        ["part", name, ref rest @ ..] => programs::play(name, rest),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<(), String> {
    for scenario in scenarios::all() {
        println!(
            "{}{}",
            scenario.name,
            if scenario.root { " (root)" } else { "" }
        );
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Scenario, String> {
    scenarios::find(name).ok_or_else(|| format!("no scenario is called {name}: see `list`"))
}

fn compare(scenario: &Scenario) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
    let power = Power::probe();
    if let Some(reason) = power.lacks(scenario) {
        return Err(format!("cannot play {}: {reason}", scenario.name));
    }
    let kernel = runner::run(&program, scenario, Side::Kernel, power);
    let usysv = runner::run(&program, scenario, Side::Usysv, power);
    for line in &kernel.transcript {
        println!("  {line}");
    }
    let differs = difference(&kernel.transcript, &usysv.transcript);
    let complaints = [
        kernel.failure.map(|failure| format!("kernel: {failure}")),
        usysv.failure.map(|failure| format!("usysv: {failure}")),
        differs,
    ];
    let complaints: Vec<String> = complaints.into_iter().flatten().collect();
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n"))
    }
}
