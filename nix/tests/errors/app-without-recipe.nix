{ freehold, ... }: freehold.lib.mkCcApp { healthPath = "/"; }
