# Writes the tables that tests/canary/statistics_test.cc holds vigie's
# statistics to: `Rscript make_tables.R DIRECTORY`. Deterministic; made with
# R 4.2.2. One case a line, fields separated by blanks, lists by commas.
# `make_tables.R DIRECTORY SEED COUNT` adds COUNT random cases to each table.
arguments <- commandArgs(trailingOnly = TRUE)
directory <- arguments[1]
seed <- if (length(arguments) > 1) as.integer(arguments[2]) else 0
extra <- if (length(arguments) > 2) as.integer(arguments[3]) else 0
random_cases <- function(make) {
  set.seed(seed)
  lapply(seq_len(extra), function(i) make())
}
any_size <- function() 10^runif(1, 0, 5)
alternatives <- c("less", "greater", "two.sided")
number <- function(x) format(x, digits = 17, scientific = TRUE, trim = TRUE)
list_of <- function(x) paste(number(x), collapse = ",")
write_table <- function(name, header, lines) {
  writeLines(c(paste("#", header), lines), file.path(directory, name))
}

# --- Fisher: counts small and large, empty and full ---
cases <- list(
  c(3, 1000, 0, 1000), c(0, 10, 0, 10), c(10, 10, 0, 10), c(5, 10, 5, 10),
  c(1, 20, 19, 20), c(12, 5000, 3, 5100), c(120, 5000, 100, 5100),
  c(400, 400, 399, 400), c(0, 5, 7, 9), c(7, 9, 0, 5), c(50, 1000, 500, 9000),
  c(1, 1, 0, 1), c(999, 100000, 1100, 99000), c(2, 300000, 11, 310000),
  c(25000, 1000000, 25500, 1000000), c(3, 7, 4, 9))
cases <- c(cases, random_cases(function() {
  totals <- ceiling(c(any_size(), any_size()))
  p <- runif(1)^3
  events <- rbinom(2, totals, c(p, p * runif(1)))
  c(events[1], totals[1], events[2], totals[2])
}))
lines <- c()
for (case in cases) for (alternative in alternatives) {
  p <- fisher.test(matrix(c(case[1], case[2] - case[1],
                            case[3], case[4] - case[3]), nrow = 2),
                   alternative = alternative, conf.int = FALSE)$p.value
  lines <- c(lines, paste(paste(sprintf("%.0f", case), collapse = " "),
                          alternative, number(p)))
}
write_table("fisher.txt", "events1 total1 events2 total2 alternative p", lines)

# --- two Poisson rates, with the interval of their ratio ---
cases <- list(
  c(11, 800, 23, 3011), c(0, 1, 5, 1), c(5, 1, 0, 1), c(3, 60, 3, 60),
  c(100, 600, 80, 600), c(1, 10, 100, 990), c(40, 540, 10, 60),
  c(5000, 600, 5200, 600), c(7, 600, 0, 600), c(1200, 0.5, 900, 0.4))
cases <- c(cases, random_cases(function() {
  events <- rpois(2, any_size() * runif(2))
  c(events[1], round(any_size(), 3), max(1, events[2]), round(any_size(), 3))
}))
lines <- c()
for (case in cases) for (alternative in alternatives) {
  test <- poisson.test(c(case[1], case[3]), c(case[2], case[4]),
                       alternative = alternative)
  both <- poisson.test(c(case[1], case[3]), c(case[2], case[4]),
                       conf.level = 0.98)
  lines <- c(lines, paste(paste(case, collapse = " "), alternative,
                          number(test$p.value), number(both$conf.int[1]),
                          number(both$conf.int[2])))
}
write_table("poisson.txt",
            "events1 exposure1 events2 exposure2 alternative p low98 high98",
            lines)

# --- Mann and Whitney, Hodges and Lehmann ---
set.seed(20261121)
cases <- list(
  list(c(1.1, 2.2, 3.3), c(0.5, 4.4)),
  list(c(0.8, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46),
       c(1.15, 0.88, 0.9, 0.74, 1.21)),
  list(c(1, 2, 3), c(4, 5, 6)),
  # The case of Kayenta's thread 6278: 7 x 100 and 3 x 1 against 10 x 1.
  list(c(rep(100, 7), rep(1, 3)), rep(1, 10)),
  list(c(101, 102), c(99, 100)),
  list(c(0, 1, 2, 1, 0, 0), rep(0, 6)),
  list(round(rnorm(49), 3), round(rnorm(49, 0.3), 3)),
  list(rnorm(60), rnorm(70, 0.2)),
  list(round(rexp(80), 1), round(rexp(55, 0.8), 1)),
  list(rpois(100, 5), rpois(90, 6)))
cases <- c(cases, random_cases(function() {
  sizes <- ceiling(runif(2, 2, 90))
  digits <- sample(c(1, 12), 1)
  list(round(rnorm(sizes[1]), digits), round(rnorm(sizes[2], 0.4), digits))
}))
lines <- c()
for (case in cases) for (alternative in alternatives) {
  x <- case[[1]]
  y <- case[[2]]
  test <- suppressWarnings(wilcox.test(x, y, alternative = alternative))
  shift <- suppressWarnings(
    wilcox.test(x, y, conf.int = TRUE, conf.level = 0.98, tol.root = 1e-9))
  lines <- c(lines, paste(list_of(x), list_of(y), alternative,
                          number(test$statistic), number(test$p.value),
                          number(shift$estimate), number(shift$conf.int[1]),
                          number(shift$conf.int[2])))
}
write_table("wilcox.txt", "x y alternative u p estimate low98 high98", lines)

# --- Wilson (prop.test without correction) and Holm ---
lines <- c()
for (case in list(c(0, 10), c(3, 1000), c(10, 10), c(17, 40), c(120, 5000))) {
  interval <- suppressWarnings(
    prop.test(case[1], case[2], conf.level = 0.98, correct = FALSE)$conf.int)
  lines <- c(lines, paste(paste(case, collapse = " "),
                          number(interval[1]), number(interval[2])))
}
write_table("wilson.txt", "events total low98 high98", lines)
lines <- c()
for (p in list(c(0.01, 0.02, 0.03), c(0.5), c(0.04, 0.001, 0.04, 0.9),
               c(0.9, 0.8, 0.7, 1), c(0.002, 0.002, 0.03, 0.011))) {
  lines <- c(lines, paste(list_of(p), list_of(p.adjust(p, "holm"))))
}
write_table("holm.txt", "p adjusted", lines)
