{ eval, ... }: eval ({ member, ... }: { members = member; })
