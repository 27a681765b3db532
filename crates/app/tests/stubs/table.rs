//! The table: one row per app.

/// A recipe as it is made.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) recipe: &'static str,
    pub(crate) services: &'static [Service],
    /// Names of secrets, with what the `.env.sample` says behind them.
    pub(crate) secrets: &'static [(&'static str, &'static str)],
    /// Further lines of the `.env.sample`.
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// Ports of the host that `app` has.
    pub(crate) host_ports: &'static [u16],
    /// Whether those stand in `compose.host-ports.yml`.
    pub(crate) has_ports_file: bool,
    /// A code that its gate must not take.
    pub(crate) wrong: u16,
}

/// One of its services.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) image: &'static str,
    /// Volumes, and where they are mounted; those of others begin with `external:`.
    pub(crate) volumes: &'static [(&'static str, &'static str)],
    pub(crate) secrets: &'static [&'static str],
    /// Ports that it takes connections at, beside HTTP.
    pub(crate) listen: &'static [u16],
    /// Where and with what it answers over HTTP.
    pub(crate) health: Option<(&'static str, &'static str)>,
    /// Whether it has no replica of its own.
    pub(crate) is_once: bool,
}

const fn part(
    name: &'static str,
    image: &'static str,
    volumes: &'static [(&'static str, &'static str)],
    secrets: &'static [&'static str],
) -> Service {
    Service { name, image, volumes, secrets, listen: &[], health: None, is_once: false }
}

const fn web(
    image: &'static str,
    health: (&'static str, &'static str),
    volumes: &'static [(&'static str, &'static str)],
    secrets: &'static [&'static str],
) -> Service {
    Service { name: "app", image, volumes, secrets, listen: &[], health: Some(health), is_once: false }
}

const PASSWORD: &str = " # length=32";
const BASIC: Stub =
    Stub { recipe: "", services: &[], secrets: &[], env: &[], host_ports: &[], has_ports_file: false, wrong: 500 };

/// All of them, by name.
pub(crate) const ALL: [Stub; 19] = [
    Stub {
        recipe: "bluesky-pds",
        services: &[
            web(
                "ghcr.io/bluesky-social/pds:0.4.219",
                ("/xrpc/_health", "{\"version\":\"0.4.219\"}"),
                &[("pds_data", "/pds")],
                &["jwt_secret", "admin_password", "plc_rotation_key"],
            ),
            part("caddy", "caddy:2.10.0", &[("caddy_data", "/data")], &[]),
        ],
        secrets: &[
            ("jwt_secret", " # length=32 charset=hex"),
            ("admin_password", PASSWORD),
            ("plc_rotation_key", " # length=64 charset=hex"),
        ],
        wrong: 503,
        ..BASIC
    },
    Stub {
        recipe: "cryptpad",
        services: &[web("cryptpad/cryptpad:version-2024.12.0", ("/", ""), &[("cryptpad_data", "/cryptpad/data")], &[])],
        env: &[("SANDBOX_DOMAIN", "sandbox.cryptpad.example.com")],
        ..BASIC
    },
    Stub {
        recipe: "custom-html",
        services: &[web("nginx:1.27.2", ("/", ""), &[("content", "/usr/share/nginx/html")], &[])],
        ..BASIC
    },
    Stub {
        recipe: "custom-html-tiny",
        services: &[web("joseluisq/static-web-server:2.36.1", ("/", ""), &[("content", "/public")], &[])],
        ..BASIC
    },
    Stub {
        recipe: "discourse",
        services: &[
            web(
                "bitnamilegacy/discourse:3.5.0",
                ("/srv/status", "ok"),
                &[("discourse_data", "/bitnami")],
                &["db_password"],
            ),
            part("sidekiq", "bitnamilegacy/discourse:3.5.0", &[], &["db_password"]),
            part("db", "postgres:15-alpine", &[("postgresql_data", "/var/lib/postgresql/data")], &["db_password"]),
            part("redis", "redis:7-alpine", &[("redis_data", "/data")], &[]),
        ],
        secrets: &[("db_password", PASSWORD), ("admin_password", PASSWORD)],
        ..BASIC
    },
    Stub {
        recipe: "ghost",
        services: &[
            web(
                "ghost:6-alpine",
                ("/ghost/api/admin/site/", "{\"site\":{}}"),
                &[("ghost_content", "/var/lib/ghost/content")],
                &["db_password"],
            ),
            part("db", "mysql:8.0", &[("mysql", "/var/lib/mysql")], &["db_password", "db_root_password"]),
        ],
        secrets: &[("db_password", PASSWORD), ("db_root_password", PASSWORD)],
        ..BASIC
    },
    Stub {
        recipe: "hedgedoc",
        services: &[
            web(
                "quay.io/hedgedoc/hedgedoc:1.10.3-alpine",
                ("/_health", "{\"ready\":true}"),
                &[("uploads", "/hedgedoc/public/uploads")],
                &["db_password", "session_secret"],
            ),
            part("db", "postgres:16-alpine", &[("postgres", "/var/lib/postgresql/data")], &["db_password"]),
        ],
        secrets: &[("db_password", PASSWORD), ("session_secret", " # length=64")],
        ..BASIC
    },
    Stub {
        recipe: "immich",
        services: &[
            web(
                "ghcr.io/immich-app/immich-server:v2.7.5",
                ("/api/server/ping", "{\"res\":\"pong\"}"),
                &[("uploads", "/data")],
                &["db_password"],
            ),
            part(
                "machine-learning",
                "ghcr.io/immich-app/immich-machine-learning:v2.7.5",
                &[("model_cache", "/cache")],
                &[],
            ),
            part(
                "database",
                "ghcr.io/immich-app/postgres:14-vectorchord0.4.3",
                &[("pgdata", "/var/lib/postgresql/data")],
                &["db_password"],
            ),
            part("redis", "redis:7-alpine", &[], &[]),
        ],
        secrets: &[("db_password", PASSWORD)],
        ..BASIC
    },
    Stub {
        recipe: "keycloak",
        services: &[
            web(
                "keycloak/keycloak:26.6.2",
                ("/realms/master", "{}"),
                &[("providers", "/opt/keycloak/providers")],
                &["admin_password", "db_password"],
            ),
            part("db", "mariadb:11.8", &[("mariadb", "/var/lib/mysql")], &["db_password", "db_root_password"]),
        ],
        secrets: &[("admin_password", PASSWORD), ("db_password", PASSWORD), ("db_root_password", PASSWORD)],
        // What its proxy says while it boots.
        wrong: 502,
        ..BASIC
    },
    Stub {
        recipe: "lasuite-docs",
        services: &[
            web("lasuite/impress-frontend:v4.0.0", ("/", ""), &[], &[]),
            part("backend", "lasuite/impress-backend:v4.0.0", &[], &["django_sk", "oidc_rpcs", "postgres_p"]),
            part("y-provider", "lasuite/impress-y-provider:v4.0.0", &[], &["y_api_key"]),
            part("minio", "minio/minio:RELEASE.2025-04-22T22-12-26Z", &[("minio", "/data")], &["minio_rp"]),
            part("redis", "redis:7-alpine", &[], &[]),
            part("db", "postgres:16-alpine", &[("postgres", "/var/lib/postgresql/data")], &["postgres_p"]),
        ],
        secrets: &[
            ("oidc_rpcs", " # generate=false"),
            ("django_sk", " # length=50"),
            ("postgres_p", PASSWORD),
            ("minio_rp", PASSWORD),
            ("y_api_key", PASSWORD),
        ],
        ..BASIC
    },
    Stub {
        recipe: "lasuite-drive",
        services: &[
            web("lasuite/drive-frontend:v0.9.0", ("/", ""), &[], &[]),
            part("backend", "lasuite/drive-backend:v0.9.0", &[], &["django_sk", "postgres_p"]),
            part("celery", "lasuite/drive-backend:v0.9.0", &[], &["django_sk", "postgres_p"]),
            Service {
                name: "collabora",
                image: "collabora/code:25.04.5.1.1",
                volumes: &[],
                secrets: &[],
                listen: &[],
                health: Some(("/hosting/discovery", "<wopi-discovery/>")),
                is_once: false,
            },
            part("onlyoffice", "onlyoffice/documentserver:9.0.4", &[], &["onlyoffice_jwt"]),
            part("minio", "minio/minio:RELEASE.2025-04-22T22-12-26Z", &[("minio", "/data")], &["minio_rp"]),
            Service {
                name: "minio-createbuckets",
                image: "minio/mc:RELEASE.2025-04-16T18-13-26Z",
                volumes: &[],
                secrets: &["minio_rp"],
                listen: &[],
                health: None,
                is_once: true,
            },
            part("db", "postgres:16-alpine", &[("postgres", "/var/lib/postgresql/data")], &["postgres_p"]),
            part("redis", "redis:7-alpine", &[], &[]),
        ],
        secrets: &[
            ("django_sk", " # length=50"),
            ("postgres_p", PASSWORD),
            ("minio_rp", PASSWORD),
            ("onlyoffice_jwt", PASSWORD),
        ],
        env: &[("MINIO_DOMAIN", "minio.drive.example.com"), ("COLLABORA_DOMAIN", "collabora.drive.example.com")],
        ..BASIC
    },
    Stub {
        recipe: "lasuite-meet",
        services: &[
            web("lasuite/meet-frontend:v0.1.40", ("/", ""), &[], &[]),
            part("backend", "lasuite/meet-backend:v0.1.40", &[], &["django_sk", "postgres_p", "livekit_as"]),
            part("livekit", "livekit/livekit-server:v1.9.0", &[], &["livekit_as"]),
            part("db", "postgres:16-alpine", &[("postgres", "/var/lib/postgresql/data")], &["postgres_p"]),
            part("redis", "redis:7-alpine", &[], &[]),
        ],
        secrets: &[("django_sk", " # length=50"), ("postgres_p", PASSWORD), ("livekit_as", PASSWORD)],
        env: &[("LIVEKIT_DOMAIN", "livekit.meet.example.com")],
        ..BASIC
    },
    Stub {
        recipe: "mailu",
        services: &[
            Service {
                name: "app",
                image: "ghcr.io/mailu/nginx:2024.06",
                volumes: &[("certs", "/certs"), ("external:letsencrypt", "/letsencrypt")],
                secrets: &[],
                listen: &[25, 465, 587, 110, 143, 993, 995],
                health: Some(("/", "")),
                is_once: false,
            },
            part("admin", "ghcr.io/mailu/admin:2024.06", &[("data", "/data")], &["secret_key"]),
            part("imap", "ghcr.io/mailu/dovecot:2024.06", &[("mail", "/mail")], &["secret_key"]),
            part("smtp", "ghcr.io/mailu/postfix:2024.06", &[("mailqueue", "/queue")], &["secret_key"]),
            part("antispam", "ghcr.io/mailu/rspamd:2024.06", &[("filter", "/var/lib/rspamd")], &[]),
            part("webmail", "ghcr.io/mailu/webmail:2024.06", &[("webmail", "/data")], &["secret_key"]),
            part("redis", "redis:7-alpine", &[("redis", "/data")], &[]),
            part("certdumper", "ldez/traefik-certs-dumper:v2.9.3", &[], &[]),
        ],
        secrets: &[("secret_key", " # length=16")],
        host_ports: &[25, 465, 587, 110, 143, 993, 995],
        ..BASIC
    },
    Stub {
        recipe: "matrix-synapse",
        services: &[
            web(
                "matrixdotorg/synapse:v1.135.0",
                ("/_matrix/client/versions", "{\"versions\":[\"v1.11\"]}"),
                &[("data", "/data")],
                &["db_password", "registration", "macaroon", "form"],
            ),
            part(
                "db",
                "pgautoupgrade/pgautoupgrade:16-alpine",
                &[("postgres", "/var/lib/postgresql/data")],
                &["db_password"],
            ),
        ],
        secrets: &[("db_password", PASSWORD), ("registration", PASSWORD), ("macaroon", PASSWORD), ("form", PASSWORD)],
        ..BASIC
    },
    Stub {
        recipe: "mattermost-lts",
        services: &[
            web(
                "mattermost/mattermost-team-edition:10.11.2",
                ("/api/v4/system/ping", "{\"status\":\"OK\"}"),
                &[("mattermost_data", "/mattermost/data"), ("mattermost_config", "/mattermost/config")],
                &["postgres_password"],
            ),
            part("postgres", "postgres:15-alpine", &[("postgres", "/var/lib/postgresql/data")], &["postgres_password"]),
        ],
        secrets: &[("postgres_password", PASSWORD)],
        ..BASIC
    },
    Stub {
        recipe: "mumble",
        services: &[Service {
            name: "app",
            image: "mumblevoip/mumble-server:v1.6.870-0",
            volumes: &[("data", "/data")],
            secrets: &["superuser_password"],
            listen: &[64738],
            health: None,
            is_once: false,
        }],
        secrets: &[("superuser_password", PASSWORD)],
        host_ports: &[64738],
        has_ports_file: true,
        wrong: 0,
        ..BASIC
    },
    Stub {
        recipe: "n8n",
        services: &[web(
            "n8nio/n8n:1.111.0",
            ("/healthz/readiness", "{\"status\":\"ok\"}"),
            &[("n8n", "/home/node/.n8n")],
            &["encryption_key"],
        )],
        secrets: &[("encryption_key", PASSWORD)],
        // Its database is not there.
        wrong: 503,
        ..BASIC
    },
    Stub {
        recipe: "plausible",
        services: &[
            web(
                "ghcr.io/plausible/community-edition:v3.1.0",
                ("/api/health", "{\"clickhouse\":\"ok\",\"postgres\":\"ok\",\"sites_cache\":\"ok\"}"),
                &[("plausible_data", "/var/lib/plausible")],
                &["secret_key_base", "db_password"],
            ),
            part("db", "postgres:16-alpine", &[("db_data", "/var/lib/postgresql/data")], &["db_password"]),
            part(
                "plausible_events_db",
                "clickhouse/clickhouse-server:24.12-alpine",
                &[("event_data", "/var/lib/clickhouse")],
                &[],
            ),
        ],
        secrets: &[("secret_key_base", " # length=64"), ("db_password", PASSWORD)],
        ..BASIC
    },
    Stub {
        recipe: "uptime-kuma",
        services: &[web("louislam/uptime-kuma:2.0.2", ("/", ""), &[("uptime_kuma", "/app/data")], &[])],
        // It is up and says that nobody may come in.
        wrong: 403,
        ..BASIC
    },
];
