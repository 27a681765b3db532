//! What the tasks of a stack say.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use freehold_model::limits;
use futures_util::StreamExt as _;

use crate::{Docker, SwarmError};

/// Which lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogWish {
    /// The service, without the stack's name.
    pub service: String,
    /// The last so many of each task.
    pub tail: u32,
    /// Whether each line begins with its time.
    pub timestamps: bool,
    /// Whether it goes on until it is stopped.
    pub follow: bool,
}

impl Docker {
    /// Hands every piece of a service's log to `tell`, until it ends or `tell` says no. While a log that is followed is silent, `tell`
    /// is asked with nothing.
    ///
    /// # Errors
    /// What Docker refuses; [`SwarmError::TooLong`] when a log that is not followed stops in the middle: what was told is not all.
    pub fn logs(&self, stack: &str, wish: &LogWish, tell: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), SwarmError> {
        let name = format!("{stack}_{}", wish.service);
        let options = LogsOptions {
            follow: wish.follow,
            stdout: true,
            stderr: true,
            timestamps: wish.timestamps,
            tail: wish.tail.to_string(),
            ..Default::default()
        };
        let mut told = 0_usize;
        self.wait_for(async {
            let mut pieces = self.client.service_logs(&name, Some(options));
            loop {
                // A log that is followed may be silent for days, and who follows it may have had enough; one that is not has a limit.
                let limit = if wish.follow { limits::LOG_LOOK } else { limits::DOCKER_CALL };
                let next = match tokio::time::timeout(limit, pieces.next()).await {
                    Ok(next) => next,
                    Err(_) if wish.follow && tell(&[]) => continue,
                    Err(_) if wish.follow => return Ok(()),
                    Err(_) => return Err(stalled(&name)),
                };
                let bytes = match next {
                    None => return Ok(()),
                    Some(Ok(
                        LogOutput::StdOut { message }
                        | LogOutput::StdErr { message }
                        | LogOutput::Console { message }
                        | LogOutput::StdIn { message },
                    )) => message,
                    Some(Err(source)) => {
                        return Err(SwarmError::Api {
                            action: format!("read the log of `{name}`"),
                            source: Box::new(source),
                        });
                    }
                };
                told = told.saturating_add(bytes.len());
                if !tell(&bytes) || (!wish.follow && told > limits::DOCKER_LOG_BYTES) {
                    return Ok(());
                }
            }
        })
    }
}

fn stalled(service: &str) -> SwarmError {
    let action = format!("read the log of `{service}` to its end");
    SwarmError::TooLong { action, seconds: limits::DOCKER_CALL.as_secs() }
}
