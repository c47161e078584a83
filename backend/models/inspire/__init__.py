"""INSPIRE: spatial factors and gene programs of many sections, present or absent in each."""
