//! How routes are set. An agent says what it wants; a router (Caddy) makes it so.

/// How requests reach a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The service.
    pub service: String,
    /// Names that requests are for.
    pub domains: Vec<String>,
    /// Paths below which requests are its own.
    pub paths: Vec<String>,
    /// The port on this host.
    pub port: u16,
}

/// Sets routes. Errors are reasons in words: a route that cannot be set is an alert and stops no service.
pub trait Router: Send + Sync {
    /// Makes exactly these the routes of this agent; those of others are left alone.
    ///
    /// # Errors
    /// The router is away, or refuses.
    fn sync(&self, wanted: &[Route]) -> Result<(), String>;

    /// The services among these whose routes cannot be made beside the others, each with why; nothing is sent.
    fn unusable(&self, _wanted: &[Route]) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Sends the requests of one service to another port, and leaves all else alone. One that has no route yet gets none.
    ///
    /// # Errors
    /// The router is away, or refuses.
    fn switch(&self, service: &str, port: u16) -> Result<(), String>;

    /// Whether this service has a route; `None` when the router does not answer.
    fn has(&self, service: &str) -> Option<bool>;

    /// Waits until no request is under way to this port, within limits.
    ///
    /// # Errors
    /// The router is away.
    fn drain(&self, port: u16) -> Result<(), String>;
}
