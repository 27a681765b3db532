//! The long kill test: `./x kill-test [--kills 200] [--members 1000]`. Ends with 1 when anything was lost.
#![allow(clippy::print_stdout, reason = "it is a command line tool")]

use std::process::ExitCode;

use freehold_kill_test::Campaign;

fn main() -> ExitCode {
    let mut campaign = Campaign { kills: 200, members: 1000 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().and_then(|value| value.parse().ok());
        match (word.as_str(), value) {
            ("--kills", Some(value)) => campaign.kills = value,
            ("--members", Some(value)) => campaign.members = value,
            _ => {
                println!("usage: kill-test [--kills N] [--members N]");
                return ExitCode::from(64);
            }
        }
    }
    let report = campaign.run(|number, report| {
        if number % 10 == 0 {
            println!("{number} kills: {report:?}");
        }
    });
    let Some(report) = report else {
        return ExitCode::FAILURE;
    };
    println!("\n| kills | midway | survived by providers | forgotten objects | ghost records | not recovered |");
    println!("|---:|---:|---:|---:|---:|---:|");
    println!(
        "| {} | {} | {} | {} | {} | {} |",
        campaign.kills,
        report.midway,
        report.survived_by_providers,
        report.forgotten,
        report.ghosts,
        report.not_recovered
    );
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
