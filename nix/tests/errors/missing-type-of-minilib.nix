{ ... }: (import ../../minilib).types.attrTag
