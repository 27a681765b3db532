//! What can go wrong with routes, by the step that failed, with whom it concerns and what helps.

use freehold_model::ErrorKind;

/// Why routes are not as they should be. The services behind them run on all the same.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The address of the admin API cannot be used.
    #[error("the endpoint `{endpoint}` cannot be used: {reason}")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The name of whom routes belong to cannot be used.
    #[error("`{}` cannot be the owner of routes", .owner.escape_debug())]
    Owner {
        /// As it was given.
        owner: String,
    },
    /// A listen address has no port.
    #[error("`{}` is no address to listen on", .address.escape_debug())]
    Listen {
        /// As it was given.
        address: String,
    },
    /// A wanted route cannot be made.
    #[error("the route of service `{}` cannot be made: {reason}", .service.escape_debug())]
    Unusable {
        /// Whose.
        service: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two wanted routes are for the same requests.
    #[error("services `{first}` and `{second}` both want `{domain}{path}`")]
    Overlap {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The name.
        domain: String,
        /// The path.
        path: String,
    },
    /// The service has no route of ours.
    #[error("service `{service}` has no route")]
    NoRoute {
        /// Which.
        service: String,
    },
    /// Nobody listens at the endpoint.
    #[error("caddy is away: nobody answers at `{endpoint}`")]
    Away {
        /// Where.
        endpoint: String,
        /// What the system said.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The admin API does not let us in.
    #[error("caddy does not let us in at `{endpoint}`: {message}")]
    Closed {
        /// Where.
        endpoint: String,
        /// Its words, or the system's.
        message: String,
    },
    /// No answer in time.
    #[error("caddy did not {action} within {seconds} s")]
    Slow {
        /// What was asked, in words.
        action: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The connection broke: whether a write took effect is not known.
    #[error("lost the connection to caddy while asking it to {action}")]
    Lost {
        /// What was asked, in words.
        action: String,
        /// What happened.
        #[source]
        source: Box<ureq::Error>,
    },
    /// Caddy said no, and keeps the configuration it had.
    #[error("caddy could not {action}: status {status}{message}")]
    Refused {
        /// What was asked, in words.
        action: String,
        /// HTTP status.
        status: u16,
        /// Its words with `: ` in front, or nothing.
        message: String,
    },
    /// An answer that no Caddy gives.
    #[error("cannot make sense of what caddy answered to {action}: {reason}")]
    Answer {
        /// What was asked, in words.
        action: String,
        /// What is odd.
        reason: String,
    },
    /// The configuration has something else where routes have their place.
    #[error("caddy's configuration has no room for routes: `{place}` is {found}")]
    Shape {
        /// A path below `/config`.
        place: String,
        /// What stands there.
        found: &'static str,
    },
    /// Others wrote each time before we could.
    #[error("others kept changing caddy's configuration ({attempts} attempts)")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// Writes can not be guarded: Caddy gives no tag, or does not take it back.
    #[error("caddy's configuration cannot be changed safely: {reason}")]
    Unguarded {
        /// What is missing.
        reason: &'static str,
    },
    /// Caddy accepted a write, and its configuration is not what was written.
    #[error("caddy accepted the routes and does not have them ({attempts} attempts)")]
    NotTaken {
        /// How often it was tried.
        attempts: u32,
    },
}

impl RouterError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Endpoint { .. } | Self::Owner { .. } | Self::Listen { .. } => ErrorKind::Config,
            Self::Closed { .. } | Self::Shape { .. } | Self::Unguarded { .. } => ErrorKind::Config,
            Self::Unusable { .. } | Self::Overlap { .. } | Self::NoRoute { .. } => ErrorKind::User,
            Self::Away { .. } | Self::Slow { .. } | Self::Lost { .. } | Self::Busy { .. } => ErrorKind::Transient,
            Self::Refused { .. } | Self::NotTaken { .. } | Self::Answer { .. } => ErrorKind::Host,
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Endpoint { .. } => "write `http://127.0.0.1:2019` or `unix//run/caddy/admin.sock`".to_owned(),
            Self::Owner { .. } => "use lower-case letters, digits and `_`".to_owned(),
            Self::Listen { .. } => "write it as `:443` or `192.0.2.1:443`".to_owned(),
            Self::Overlap { .. } => "give one of them another domain or path".to_owned(),
            Self::NoRoute { .. } => "give it one with the next sync".to_owned(),
            Self::Away { endpoint, .. } => format!(
                "the services still run, only their routes cannot be changed; start Caddy (`systemctl start caddy`) with its admin API at `{endpoint}`"
            ),
            Self::Closed { .. } => {
                "let the admin API take this address in `admin.origins`, or let this user open its socket".to_owned()
            }
            Self::Refused { .. } => {
                "what Caddy ran before goes on; its log (`journalctl -u caddy`) says more".to_owned()
            }
            Self::Answer { .. } => "check that the endpoint is Caddy's admin API".to_owned(),
            Self::Unguarded { .. } => "use Caddy 2.5.2 or later".to_owned(),
            Self::Busy { .. } => "look who else writes to Caddy's admin API all the time".to_owned(),
            _ => return None,
        })
    }

    /// With its causes on one line, as records and alerts keep it.
    pub fn chain(&self) -> String {
        freehold_model::chain(self)
    }
}
