package stats

import "testing"

func TestSummarise(t *testing.T) {
	hundred := make([]float64, 101)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	tests := []struct {
		name    string
		samples []float64
		want    Dist
	}{
		{"none", nil, Dist{}},
		{"one", []float64{-1.2345}, Dist{N: 1, Mean: -1.235, P50: -1.235, P95: -1.235, P99: -1.235, Min: -1.235, Max: -1.235}},
		{"0 to 100, backwards", hundred, Dist{N: 101, Mean: 50, P50: 50, P95: 95, P99: 99, Min: 0, Max: 100}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Summarise(test.samples); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
