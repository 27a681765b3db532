//! `freehold destroy`.

use clap_complete::ArgValueCompleter;
use freehold_model::MemberPath;
use freehold_plan::Mode;

use super::Selection;
use super::apply::{Consent, Following, Order, follow};
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Delete everything that is recorded, in reverse order
///
/// Refuses before it starts when something cannot be deleted (a protected resource, a provider without deletion): `--forget MEMBER`
/// names what may be dropped from the record instead, with its object left in the world.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these members, what is below them and what needs them
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    pub(crate) members: Vec<MemberPath>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) following: Following,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let options = args.selection.options(Mode::Destroy, args.members);
    let consent = Consent::Ask("delete these objects?");
    follow(&Order { command: "destroy", options, saved: None, consent, only: None }, args.following, session)
}
