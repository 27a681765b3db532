//! Reference pages in Markdown: commands, exit codes, built-in providers.

use std::collections::BTreeMap;

use clap::{Arg, Command, CommandFactory as _};
use freehold_protocol::TypeSchema;
use serde_json::{Value as Json, json};

use crate::builtin;
use crate::commands::provider::shape;
use crate::exit::CODES;
use crate::grammar::Cli;

const MADE: &str = "<!-- made from code by `xtask generate` -->\n";

/// File name → page.
pub(super) fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    pages.insert("cli.md".to_owned(), commands());
    pages.insert("exit-codes.md".to_owned(), exit_codes());
    for builtin in builtin::ALL {
        let schema = (builtin.provider)().schema();
        let mut page = format!("# Provider `{}`\n\n{MADE}\n{}\n", builtin.name, builtin.description);
        for (name, t) in &schema.types {
            page += &resource_type(builtin.name, name, t);
        }
        pages.insert(format!("provider-{}.md", builtin.name), page);
    }
    pages
}

fn exit_codes() -> String {
    let rows: String = CODES.iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n")).collect();
    format!(
        "# Exit codes\n\n{MADE}\n| code | meaning |\n|---|---|\n{rows}\n`freehold run` ends with the exit code of the operation.\n"
    )
}

fn commands() -> String {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut page = format!("# Commands\n\n{MADE}\n");
    page += &format!("{}\n\n", root.get_long_about().or(root.get_about()).map(ToString::to_string).unwrap_or_default());
    page += "## Options of every command\n\n";
    page += &options(root.get_arguments().filter(|a| a.is_global_set()));
    section(&root, &mut page);
    page
}

fn section(command: &Command, page: &mut String) {
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        let title = sub.get_display_name().unwrap_or(sub.get_name()).replace('-', " ");
        let about = sub.get_long_about().or(sub.get_about()).map(ToString::to_string).unwrap_or_default();
        let mut shown = sub.clone();
        let usage = shown.render_usage().to_string().replace("Usage: ", "");
        *page += &format!("## {title}\n\n{about}\n\n```\n{usage}\n```\n\n");
        *page += &options(sub.get_arguments().filter(|a| !a.is_global_set()));
        section(sub, page);
    }
}

fn options<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let rows: String = args
        .filter(|a| !a.is_hide_set() && a.get_id() != "help" && a.get_id() != "version")
        .map(|arg| {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            format!("| `{}` | {} |\n", cell(&spelling(arg)), cell(&help))
        })
        .collect();
    if rows.is_empty() { String::new() } else { format!("| option | meaning |\n|---|---|\n{rows}\n") }
}

fn spelling(arg: &Arg) -> String {
    let values: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(|v| format!(" {v}")).collect();
    let takes = arg.get_num_args().is_some_and(|n| n.takes_values());
    let values = if takes { values.concat() } else { String::new() };
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}{values}"),
        (None, Some(long)) => format!("--{long}{values}"),
        _ => values.trim_start().to_owned(),
    }
}

fn resource_type(provider: &str, name: &str, schema: &TypeSchema) -> String {
    let mut text = format!("\n## `{provider}.{name}`\n\n{}\n", schema.description);
    if name.split_once('.').is_some_and(|(group, _)| group != provider) {
        text += &format!("\nIn Nix: `providers.{name}` or `providers.{provider}.\"{name}\"`.\n");
    }
    let required = schema.required_inputs();
    let inputs: String = schema
        .input_properties()
        .map(|(input, s)| {
            let mut notes = vec![if required.contains(&input) { "required" } else { "optional" }.to_owned()];
            if let Some(default) = s.get("default").filter(|d| !d.is_null()) {
                notes.push(format!("default `{default}`"));
            }
            if schema.force_new.iter().any(|f| f == input) {
                notes.push("a change replaces the object".to_owned());
            }
            format!("| `{input}` | {} | {} | {} |\n", shape(s), notes.join(", "), described(s))
        })
        .collect();
    if !inputs.is_empty() {
        text += &format!("\n| input | value | | meaning |\n|---|---|---|---|\n{inputs}");
    }
    let outputs: String = schema
        .output_properties()
        .map(|(output, s)| format!("| `{output}` | {} | {} |\n", shape(s), described(s)))
        .collect();
    if !outputs.is_empty() {
        text += &format!("\n| output | value | meaning |\n|---|---|---|\n{outputs}");
    }
    let operations: String = schema
        .operations
        .iter()
        .map(|(op, s)| format!("| `{}` | {} |\n", format!("{op} {}", s.arguments).trim(), cell(&s.description)))
        .collect();
    if !operations.is_empty() {
        text += &format!("\n| operation | meaning |\n|---|---|\n{operations}");
    }
    text += &format!("\n{}\n", abilities(schema));
    for example in &schema.examples {
        let inputs = serde_json::to_string_pretty(&json!(example.inputs)).unwrap_or_default();
        text += &format!("\n{}:\n\n```json\n{inputs}\n```\n", example.title);
    }
    text
}

fn abilities(schema: &TypeSchema) -> String {
    let can = [
        (schema.can_read, "drift is noticed"),
        (schema.can_update, "changes in place"),
        (schema.can_import, "existing objects can be imported"),
        (schema.stateful, "its outputs exist in the record only"),
        (schema.holds_state, "can hold the state of other members"),
    ];
    let can: Vec<&str> = can.into_iter().filter(|(yes, _)| *yes).map(|(_, what)| what).collect();
    if can.is_empty() { String::new() } else { format!("Abilities: {}.", can.join("; ")) }
}

fn described(schema: &Json) -> String {
    cell(schema.get("description").and_then(Json::as_str).unwrap_or_default())
}

/// Text that fits into a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
