//! The one type that holds a secret. It can be compared and cloned, never shown.

/// A value that must not reach a log, a plan, argv or the Nix store.
///
/// It implements neither `Display` nor `Serialize`, and its `Debug` shows no part of it.
/// Whoever needs the value in clear says so with [`Sensitive::expose`], which is easy to search for.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sensitive<T>(T);

impl<T> Sensitive<T> {
    /// Wraps a secret.
    pub fn new(secret: T) -> Self {
        Self(secret)
    }

    /// The secret itself. Every caller is a place where it could leak.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps the secret.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> std::fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(sensitive)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        let shown = format!("{:?}", Sensitive::new("canary"));
        assert_eq!(shown, "(sensitive)");
    }
}
