{ freehold, ... }: freehold.lib.ccAppSettings "ghosts" { domain = "blog.example.org"; }
