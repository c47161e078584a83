"""FuseMap, default mode: a factor model of many panels. Import the modules, not this package."""
