{ freehold, ... }:
freehold.lib.ccAppSettings "ghost" {
  domain = "blog.example.org";
  environment = { };
}
