{ freehold, ... }:
freehold.lib.mkCcApp {
  recipe = "ghost";
  healthpath = "/";
}
