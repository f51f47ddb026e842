"""A meter after IS 15959 part 2, category D1 (single phase), spoken to over DLMS/COSEM."""
