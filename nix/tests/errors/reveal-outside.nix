{ freehold, ... }: freehold.lib.reveal "token"
