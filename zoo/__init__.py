def catalogue(): return []
