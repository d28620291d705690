"""The explorer: points on linked maps, to lasso and look into. `page` makes one HTML file of them."""
