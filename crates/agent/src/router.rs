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

    /// Adds or changes the route of one service, and leaves all others alone.
    ///
    /// # Errors
    /// The router is away, or refuses.
    fn switch(&self, route: &Route) -> Result<(), String>;

    /// Waits until no request is under way to this port, within limits.
    ///
    /// # Errors
    /// The router is away.
    fn drain(&self, port: u16) -> Result<(), String>;
}
