//! `freehold refresh`.

use clap_complete::ArgValueCompleter;
use freehold_model::MemberPath;
use freehold_plan::Mode;

use super::Selection;
use super::apply::{Consent, Following, Order, follow};
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Bring the record up to what the world shows, and change nothing in the world
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these members and what is below them
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    pub(crate) members: Vec<MemberPath>,
    #[command(flatten)]
    pub(crate) following: Following,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let options = Selection::default().options(Mode::RefreshOnly, args.members);
    let order = Order { command: "refresh", options, saved: None, consent: Consent::Given, only: None };
    follow(&order, args.following, session)
}
