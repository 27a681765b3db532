{ freehold, ... }:
freehold.lib.mkCcApp {
  recipe = "ghost";
  appName = "My Blog";
}
