//! Manual pages, from the grammar.

use std::collections::BTreeMap;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::failure::Failure;
use crate::grammar::Cli;

/// One page per command: file name → page.
pub(crate) fn pages() -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut pages = BTreeMap::new();
    for command in visible(&grammar()) {
        let mut page = Vec::new();
        Man::new(command.clone()).render(&mut page)?;
        pages.insert(format!("{}.1", command.get_name()), page);
    }
    Ok(pages)
}

/// All pages, one after the other, as one document.
pub(crate) fn whole() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    for command in visible(&grammar()) {
        Man::new(command).render(&mut text)?;
    }
    Ok(text)
}

/// The grammar without what is not for people, every command under its full name with dashes.
fn grammar() -> Command {
    let mut root = Cli::command().disable_help_subcommand(true).version(env!("CARGO_PKG_VERSION"));
    root.build();
    root
}

fn visible(command: &Command) -> Vec<Command> {
    let mut found = vec![named(command)];
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        found.extend(visible(sub));
    }
    found
}

/// `freehold state mv` → a page called `freehold-state-mv`.
fn named(command: &Command) -> Command {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    // The date would differ from day to day; the version says enough.
    command.clone().name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page() {
        let pages = pages().unwrap();
        for name in ["freehold.1", "freehold-plan.1", "freehold-state-mv.1"] {
            assert!(pages.contains_key(name), "{:?}", pages.keys());
        }
        assert!(!pages.keys().any(|name| name.contains("internal")));
        let plan = String::from_utf8(pages["freehold-plan.1"].clone()).unwrap();
        assert!(plan.contains("Show what `apply` would do"), "{plan}");
    }
}
