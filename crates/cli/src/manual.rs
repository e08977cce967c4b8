//! The manual page and the completion scripts, made from the command line's definition.

use crate::args::Cli;
use crate::failure::{Failure, reason};
use clap::CommandFactory;

/// `usysv.1` in roff: the page of the whole command, with each subcommand's section in it.
pub fn man() -> Result<(), Failure> {
    let mut page = Vec::new();
    render(&mut page).map_err(|e| Failure::new(reason(&e)))?;
    crate::write_stdout(&page)
}

fn render(page: &mut Vec<u8>) -> std::io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let whole = clap_mangen::Man::new(command.clone());
    whole.render_title(page)?;
    whole.render_name_section(page)?;
    whole.render_synopsis_section(page)?;
    whole.render_description_section(page)?;
    whole.render_options_section(page)?;
    for subcommand in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        render_subcommand(page, subcommand, "USYSV")?;
    }
    whole.render_extra_section(page)?;
    whole.render_version_section(page)
}

/// A section that is named after the subcommand; its own headings become smaller ones. Its own
/// subcommands' sections follow.
fn render_subcommand(
    page: &mut Vec<u8>,
    command: &clap::Command,
    above: &str,
) -> std::io::Result<()> {
    let name = format!("{above} {}", command.get_name().to_uppercase());
    let man = clap_mangen::Man::new(command.clone());
    let mut section = Vec::new();
    man.render_synopsis_section(&mut section)?;
    man.render_description_section(&mut section)?;
    man.render_options_section(&mut section)?;
    man.render_extra_section(&mut section)?;
    page.extend_from_slice(format!(".SH \"{name}\"\n").as_bytes());
    let section = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
    page.extend_from_slice(section.as_bytes());
    // clap's `help` has a copy of every subcommand.
    let below = command.get_subcommands();
    for subcommand in below.filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        if command.get_name() != "help" {
            render_subcommand(page, subcommand, &name)?;
        }
    }
    Ok(())
}

/// A shell's completion script.
pub fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "usysv", &mut script);
    crate::write_stdout(&script)
}
