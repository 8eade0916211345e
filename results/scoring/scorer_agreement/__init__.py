"""How well each scorer agrees with people; not part of the installed package."""
