//! An error with its causes on one line, as records, alerts and events keep it.

use std::error::Error;

/// An error with its causes, each once, with `: ` between them.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl std::fmt::Display for Link {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|link| link as &dyn Error)
        }
    }

    #[test]
    fn every_cause_is_said_once() {
        let deepest = Link("no such file", None);
        let error = Link("cannot read `a`", Some(Box::new(Link("cannot read `a`", Some(Box::new(deepest))))));
        assert_eq!(chain(&error), "cannot read `a`: no such file");
    }
}
