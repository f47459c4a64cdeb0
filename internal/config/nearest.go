package config

// nearest returns the known key that needs the fewest edits (a letter added, removed or changed) to become the unknown one, or "" if every
// known key needs too many.
func nearest(unknown string, known []string) string {
	best, bestEdits := "", len(unknown)/3+1
	for _, k := range known {
		if n := edits(unknown, k); n < bestEdits {
			best, bestEdits = k, n
		}
	}
	return best
}

// edits returns the Levenshtein distance of a and b, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
