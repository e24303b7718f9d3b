package charset

import (
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// Letters of the languages that the single-byte encodings were made for.
var (
	western = []alphabet{
		"äöüß", "éèêëàâçîïôùûœæÿ", "áéíóúñüïç", "ãõçáéíóúâêôàü", "àèéìòùíîú", "åäöé", "æøåéèêòóô",
		"ëïéèöüáóê",
	}
	icelandic = []alphabet{"áéíóúýþæöð"} // as bytes its þ, ð and ý are Turkish, which more people write
	central   = []alphabet{
		"ěščřžýáíéúůťďňó", "áäčďéíĺľňóôŕšťúýž", "ąćęłńóśźż", "áéíóöőúüű", "ăâîşţșț", "čćžšđ", "äöüß",
	}
	baltic     = []alphabet{"ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"}
	turkish    = []alphabet{"çğıöşüâîi̇"}
	cyrillic   = []alphabet{"оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", "оаніирвтеслкмдупязьбгчйхїжєюшщцфґ", "аоеинтрвсдлкпмзгуябъчжйцщхшюф", "аиоенрсјтувдкмлпзбгцчшжњћхљфђџ", "оеаінырстлвкдмупяьзбгўчйхжшюцэфё"}
	ukrainian  = []alphabet{"оаніирвтеслкмдупязьбгчйхїжєюшщцфґ"}
	russian    = []alphabet{"оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё"}
	greek      = []alphabet{"αοιετσνηυρπκμλςωδγίάόέήύώχθφβξζψϊϋΐΰ"}
	hebrew     = []alphabet{"יוהלאמרתבשנמעדחכקפםגצטןסזךףץ" + hebrewPoints}
	arabic     = []alphabet{"اليمونرتبةعدفهسكقحجىأذصخشضطزغثءإآئؤظپچژگکی" + arabicPoints}
	thai       = []alphabet{"ากนรอเงมยลวดทสต่้ัีิ์ไหบคปแพขจถใโชผะุูำืึธซณษศญพฟภฝฐฉฮฏฎฌฑฒๆฯ็๊๋ฃฅฤ"}
	westernDOS = []alphabet{"äöüß", "éèêëàâçîïôùû", "áéíóúñü", "åäöé", "æøå"}
)

const (
	hebrewPoints = "ְֱֲֳִֵֶַָֹֻּׁׂ"
	arabicPoints = "ًٌٍَُِّْ"
)

// candidates are the encodings that are guessed, in the order in which they win a
// tie.
var candidates = []candidate{
	{name: "windows-1252", enc: charmap.Windows1252, languages: western},
	{name: "windows-1251", enc: charmap.Windows1251, languages: cyrillic},
	{name: "windows-1250", enc: charmap.Windows1250, languages: central, doubt: 0.05},
	{name: "koi8-r", enc: charmap.KOI8R, languages: russian},
	{name: "koi8-u", enc: charmap.KOI8U, languages: ukrainian, doubt: 0.01},
	{name: "gb18030", enc: simplifiedchinese.GB18030, pairs: &chinese},
	{name: "big5", enc: traditionalchinese.Big5, pairs: &taiwanese},
	{name: "shift_jis", enc: japanese.ShiftJIS, pairs: &shiftJIS},
	{name: "euc-jp", enc: japanese.EUCJP, pairs: &eucJP},
	{name: "euc-kr", enc: korean.EUCKR, pairs: &eucKR},
	{name: "windows-1253", enc: charmap.Windows1253, languages: greek},
	{name: "windows-1254", enc: charmap.Windows1254, languages: turkish, doubt: 0.06},
	{name: "windows-1255", enc: charmap.Windows1255, languages: hebrew},
	{name: "windows-1256", enc: charmap.Windows1256, languages: arabic, doubt: 0.05},
	{name: "windows-1252", enc: charmap.Windows1252, languages: icelandic, doubt: 0.1},
	{name: "windows-1257", enc: charmap.Windows1257, languages: baltic, doubt: 0.1},
	{name: "windows-874", enc: charmap.Windows874, languages: thai, doubt: 0.15},
	{name: "iso-8859-2", enc: charmap.ISO8859_2, languages: central, doubt: 0.1},
	{name: "iso-8859-5", enc: charmap.ISO8859_5, languages: russian, doubt: 0.1},
	{name: "iso-8859-6", enc: charmap.ISO8859_6, languages: arabic, doubt: 0.1},
	{name: "ibm866", enc: charmap.CodePage866, languages: russian, doubt: 0.1},
	{name: "ibm850", enc: charmap.CodePage850, languages: westernDOS, doubt: 0.5},
	{name: "macintosh", enc: charmap.Macintosh, languages: westernDOS, doubt: 0.5},
}

// The tables of East Asia put common characters before rare ones; what counts as
// which follows their rows.

var chinese = pairs{
	enc:    simplifiedchinese.GB18030,
	lead:   func(b byte) bool { return within(b, 0x81, 0xfe) },
	single: never,
	weight: func(lead, trail byte) float64 {
		switch {
		case within(trail, '0', '9'): // four bytes
			return foreign
		case trail < 0x40 || trail == 0x7f || trail == 0xff:
			return no
		case trail < 0xa1 || lead < 0xa1:
			return odd
		case within(lead, 0xb0, 0xd7):
			return 0.8
		case within(lead, 0xa1, 0xa3):
			return 0.8
		case within(lead, 0xd8, 0xf7):
			return -0.5
		}
		return odd
	},
	frequent: "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则任取据处",
}

var taiwanese = pairs{
	enc:    traditionalchinese.Big5,
	lead:   func(b byte) bool { return within(b, 0x81, 0xfe) },
	single: never,
	weight: func(lead, trail byte) float64 {
		switch {
		case trail < 0x40 || within(trail, 0x7f, 0xa0) || trail == 0xff:
			return no
		case within(lead, 0xa4, 0xc6), within(lead, 0xa1, 0xa3):
			return 0.8
		case within(lead, 0xc9, 0xf9):
			return -0.5
		}
		return odd
	},
	frequent: "的一是在不了有和人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年動同工也能下過子說產種面而方後多定行學法所民得經十三之進著等部度家電力裡如水化高自二理起小物現實加量都兩體制機當使點從業本去把性好應開它合還因由其些然前外天政四日那社義事平形相全表間樣與關各重新線內數正心反你明看原又麼利比或但質氣第向道命此變條只沒結解問意建月公無系軍很情者最立代想已通並提直題程展五果料象員位入常文總次品式活設及管特件長求老頭基資邊流路級少圖山統接知較將組見計別她手角期根論運農指幾九區強放決西被做必戰先回則任取據處",
}

// kanji are frequent characters of Japanese text, with all kana.
const kanji = "ぁあぃいぅうぇえぉおかがきぎくぐけげこごさざしじすずせぜそぞただちぢっつづてでとどなにぬねのはばぱひびぴふぶぷへべぺほぼぽまみむめもゃやゅゆょよらりるれろわをんァアィイゥウェエォオカガキギクグケゲコゴサザシジスズセゼソゾタダチヂッツヅテデトドナニヌネノハバパヒビピフブプヘベペホボポマミムメモャヤュユョヨラリルレロワヲンー。、日一人年大十二本中長出三時行見月分後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川千水半男西電校語土木聞食車何南万毎白天母火右読友左休父雨会同事自社発者地業方新場員立開手力問代明動京目通言理体田主題意不作用度強公持野以思家世多正安院心界教文元重近考画海売知道集別物使品計死特私始朝運終台広住無真有口少町料工建空急止送切転研足究楽起着店病質待試族銀早映親験英医仕去味写字答夜音注帰古歌買悪図週室歩風紙黒花春赤青館屋色走秋夏習駅洋旅服夕借曜飲肉貸堂鳥飯勉冬昼茶弟牛魚兄犬妹姉漢"

var shiftJIS = pairs{
	enc:  japanese.ShiftJIS,
	lead: func(b byte) bool { return within(b, 0x81, 0x9f) || within(b, 0xe0, 0xfc) },
	single: func(b byte) float64 {
		if within(b, 0xa1, 0xdf) {
			return 0.5 // half-width katakana
		}
		return no
	},
	weight: func(lead, trail byte) float64 {
		switch {
		case trail < 0x40 || trail == 0x7f || trail > 0xfc:
			return no
		case lead == 0x81, lead == 0x82, lead == 0x83, within(lead, 0x88, 0x97):
			return 0.8
		case within(lead, 0x98, 0x9f), within(lead, 0xe0, 0xea):
			return -0.5
		}
		return odd
	},
	frequent: kanji,
}

var eucJP = pairs{
	enc:    japanese.EUCJP,
	lead:   func(b byte) bool { return within(b, 0xa1, 0xfe) || b == 0x8e || b == 0x8f },
	single: never,
	weight: func(lead, trail byte) float64 {
		switch {
		case trail < 0xa1 || trail == 0xff:
			return no
		case within(lead, 0xa1, 0xa5), within(lead, 0xb0, 0xcf):
			return 0.8
		case within(lead, 0xd0, 0xf4):
			return -0.5
		}
		return odd
	},
	frequent: kanji,
}

var eucKR = pairs{
	enc:    korean.EUCKR,
	lead:   func(b byte) bool { return within(b, 0x81, 0xfe) },
	single: never,
	weight: func(lead, trail byte) float64 {
		switch {
		case trail < 0x41 || within(trail, 0x5b, 0x60) || within(trail, 0x7b, 0x80) || trail == 0xff:
			return no
		case trail < 0xa1 || lead < 0xa1:
			return odd
		case within(lead, 0xb0, 0xc8):
			return 0.9 // Hangul
		case within(lead, 0xa1, 0xa3):
			return 0.7
		}
		return -0.5
	},
	frequent: "이다는의에을가고하지은로기한도사를나리어아시서자대인들그있수스해정보일부과전제주라상성장니만구게여무원연조오선국자것면동비마학적생우문신유공세중교관화식안발개분당계년진요트않없야할때까으며거드네러했습었금등모두경실회물체방산소지음현미말단업간명통심용회와남저민치행감운재내외위양영반집더매론입래타난권량터차각노파결력직르바호약임람불데즈님형품된및",
}
