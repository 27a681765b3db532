//! What the tasks of a stack say.

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
                    Some(Ok(piece)) => piece.into_bytes(),
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

    /// The last lines of a service, by tasks that have ended, too. Nothing when Docker does not tell them soon: whoever asks has more
    /// to do than to listen.
    #[must_use]
    pub fn last_words(&self, stack: &str, service: &str) -> Vec<String> {
        let name = format!("{stack}_{service}");
        let tail = LAST_LINES.to_string();
        let options = LogsOptions { stdout: true, stderr: true, tail, ..Default::default() };
        let mut said = Vec::new();
        self.wait_for(async {
            let mut pieces = self.client.service_logs(&name, Some(options));
            let listen = async {
                while let Some(Ok(piece)) = pieces.next().await {
                    said.extend_from_slice(&piece.into_bytes());
                    if said.len() > limits::DOCKER_WORDS_BYTES {
                        break;
                    }
                }
            };
            // What came until then is told.
            let _ = tokio::time::timeout(limits::DOCKER_LAST_WORDS, listen).await;
        });
        last_lines(&said)
    }
}

/// Lines that are told of a service that crashed.
const LAST_LINES: usize = 5;

fn last_lines(said: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(ToString::to_string).collect()
}

fn stalled(service: &str) -> SwarmError {
    let action = format!("read the log of `{service}` to its end");
    SwarmError::TooLong { action, seconds: limits::DOCKER_CALL.as_secs() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_that_say_something_are_told() {
        assert_eq!(last_lines(b"1\n2\n\n3 \r\n4\n5\n6"), ["2", "3", "4", "5", "6"]);
        assert_eq!(last_lines(b"\xff\n"), ["\u{fffd}"]);
        assert_eq!(last_lines(b"\n"), Vec::<String>::new());
    }
}
